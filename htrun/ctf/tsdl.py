"""Parses the metadata of a native trace.

TSDL is the language of CTF 1.8, section C. This is a strict parser of the subset that htrun writes: integers, arrays of
characters, and flat structures. The parser rejects all other constructs.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from htrun.events.call_texts import TEXT_BYTES
from htrun.events.clock import Fit
from htrun.events.definitions import DEFINITIONS, USER_SYSCALL_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_BITS = 8
_MOST_ELEMENTS = 4096
_MOST_ALIGNMENT = 1 << 16
"""The greatest accepted alignment in bits."""
_TOKEN = re.compile(
    r"""\s+ | /\*.*?\*/
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<word>[A-Za-z_][\w.]*)
    | (?P<number>-?\d+)
    | (?P<mark>:=|[{}\[\];=])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES = {"n": "\n", "t": "\t"}


class TsdlError(Exception):
    """The text is not the metadata that htrun writes. ``str()`` describes the error in the text."""


@dataclass(frozen=True)
class TsdlField:
    """A field of a structure. ``code``: numpy's name of the type. ``offset``, ``alignment``: in bytes. ``count``: the
    number of elements; None if the field is not an array. ``size``: the size of the whole field in bytes."""

    name: str
    code: str
    offset: int
    alignment: int
    count: int | None = None

    @property
    def size(self) -> int:
        """The size in bytes."""
        return int(self.code[-1]) * (1 if self.count is None else self.count)

    @property
    def end(self) -> int:
        """The offset of the end of the field."""
        return self.offset + self.size


@dataclass(frozen=True)
class StreamClass:
    """One kind of stream.

    ``kind``: the kind of the stream's events, an index of `DEFINITIONS`. ``header``: the fields of a packet's header.
    ``event``: the fields of an event. ``arguments``: the number of arguments of an event.
    """

    number: int
    kind: int
    header: tuple[TsdlField, ...]
    event: tuple[TsdlField, ...]
    arguments: int

    @cached_property
    def header_size(self) -> int:
        """The distance from the start of a packet to its first event, in bytes."""
        return _aligned(self.header[-1].end, _alignment(self.event))

    @cached_property
    def event_size(self) -> int:
        """The distance from one event to the next, in bytes."""
        return _aligned(self.event[-1].end, _alignment(self.event))

    @property
    def names_threads(self) -> bool:
        """Whether each event contains its thread, so that all threads share a stream."""
        return any(field.name == "thread" for field in self.event)

    @property
    def big_endian(self) -> bool:
        """Whether the arguments are big-endian."""
        return self.event[-1].code.startswith(">")

    def header_values(self, raw: bytes) -> tuple[Any, ...]:
        """The values of the fields of a packet's header, in the order of `HEADER_FIELDS`. Arrays are returned as bytes.
        ``raw``: the bytes of the header."""
        return self._header_order(self._header_struct.unpack(raw))

    @cached_property
    def _header_order(self) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
        names = [field.name for field in self.header]
        return itemgetter(*(names.index(name) for name in HEADER_FIELDS))

    @cached_property
    def _header_struct(self) -> struct.Struct:
        return struct.Struct("<" + "".join(_struct_format(self.header, self.header_size)))

    @cached_property
    def event_dtype(self) -> np.dtype[Any]:
        """The type of an event. All its arguments form one field, ``args``."""
        fields = self.event[: len(self.event) - self.arguments]
        if self.arguments:
            first = self.event[-self.arguments]
            fields += (TsdlField("args", first.code, first.offset, first.alignment, self.arguments),)
        return _dtype(fields, self.event_size)


@dataclass(frozen=True)
class Metadata:
    """The parsed metadata of a trace. ``classes``: the stream classes by number."""

    uuid: UUID
    environment: Mapping[str, str | int]
    clock: Fit
    classes: Mapping[int, StreamClass]


def environment_of(text: str) -> dict[str, str | int]:
    """The facts of the run in the metadata ``text``, which any program may have written; empty if there are none."""
    match = re.search(r"\benv\s*\{(.*?)\n?\s*\};", text, re.DOTALL)
    pairs = re.findall(r'(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*;', match[1]) if match else []
    return {key: _value(value) for key, value in pairs}


def parse(text: str) -> Metadata:
    """Parse the metadata in ``text``. Raises `TsdlError`."""
    return _Parser(text).metadata()


@dataclass(frozen=True)
class _Integer:
    code: str
    alignment: int


@dataclass(frozen=True)
class _Member:
    integer: _Integer
    name: str
    count: int | None


_Block = dict[str, "str | int | list[_Member]"]


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._place = 0
        self._integers: dict[str, _Integer] = {}
        self._blocks: dict[str, list[_Block]] = {"trace": [], "env": [], "clock": [], "stream": [], "event": []}

    def metadata(self) -> Metadata:
        while self._place < len(self._tokens):
            match word := self._next():
                case "typealias":
                    self._typealias()
                case _ if word in self._blocks:
                    self._blocks[word].append(self._block())
                    self._expect(";")
                case _:
                    raise TsdlError(f"unexpected {word!r}")
        trace, clock = self._only("trace"), self._only("clock")
        if (trace.get("major"), trace.get("minor"), trace.get("byte_order")) != (1, 8, "le"):
            raise TsdlError("it is not little-endian CTF 1.8")
        environment = {key: value for key, value in self._only("env").items() if isinstance(value, str | int)}
        events = {_number(event, "stream_id"): event for event in self._blocks["event"]}
        classes = [_stream_class(_number(stream, "id"), trace, stream, events) for stream in self._blocks["stream"]]
        if len({each.header for each in classes}) != 1 or len({each.header_size for each in classes}) != 1:
            raise TsdlError("the streams have different packet headers")
        return Metadata(_uuid(trace), environment, _fit(clock, environment), {each.number: each for each in classes})

    def _only(self, name: str) -> _Block:
        blocks = self._blocks[name]
        if len(blocks) != 1:
            raise TsdlError(f"there are {len(blocks)} blocks {name!r}")
        return blocks[0]

    def _typealias(self) -> None:
        self._expect("integer")
        settings = self._block()
        self._expect(":=")
        name = self._next()
        self._expect(";")
        size, alignment = _number(settings, "size"), _number(settings, "align")
        aligned = 0 < alignment <= _MOST_ALIGNMENT and alignment % _BITS == 0
        if settings.get("signed") != "false" or size not in (8, 32, 64) or not aligned:
            raise TsdlError(f"the type {name!r} is of an unknown kind")
        order = ">" if settings.get("byte_order", "le") == "be" else "<"
        self._integers[name] = _Integer(f"{order}u{size // _BITS}", alignment // _BITS)

    def _block(self) -> _Block:
        self._expect("{")
        block: _Block = {}
        while (name := self._next()) != "}":
            match mark := self._next():
                case "=":
                    block[name] = _value(self._next())
                case ":=":
                    self._expect("struct")
                    block[name] = self._members()
                case _:
                    raise TsdlError(f"expected '=', not {mark!r}")
            self._expect(";")
        return block

    def _members(self) -> list[_Member]:
        self._expect("{")
        members = []
        while (integer := self._next()) != "}":
            if integer not in self._integers:
                raise TsdlError(f"unknown type {integer!r}")
            name, count = self._next(), None
            if (mark := self._next()) == "[":
                count = self._count()
                self._expect("]")
                mark = self._next()
            if mark != ";":
                raise TsdlError(f"expected ';', not {mark!r}")
            members.append(_Member(self._integers[integer], name, count))
        return members

    def _count(self) -> int:
        count = _value(self._next())
        if not isinstance(count, int) or not 0 < count <= _MOST_ELEMENTS:
            raise TsdlError(f"impossible size of an array: {count}")
        return count

    def _next(self) -> str:
        if self._place == len(self._tokens):
            raise TsdlError("it ends too early")
        self._place += 1
        return self._tokens[self._place - 1]

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise TsdlError(f"expected {token!r}, not {found!r}")


def _tokens(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise TsdlError(f"unexpected {text[place]!r}")
        if match.lastgroup is not None:
            yield match[0]
        place = match.end()


def _value(token: str) -> str | int:
    if token.startswith('"'):
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), token[1:-1], flags=re.DOTALL)
    if re.fullmatch(r"-?\d{1,20}", token, re.ASCII):
        return int(token)
    return token


def _number(block: _Block, name: str) -> int:
    value = block.get(name)
    if not isinstance(value, int):
        raise TsdlError(f"{name} is missing or not a number")
    return value


def _structure(block: _Block, name: str) -> list[_Member]:
    value = block.get(name)
    if not isinstance(value, list):
        raise TsdlError(f"{name} is missing")
    return value


def _uuid(trace: _Block) -> UUID:
    try:
        return UUID(str(trace.get("uuid")))
    except ValueError:
        raise TsdlError("it has no uuid") from None


def _fit(clock: _Block, environment: Mapping[str, str | int]) -> Fit:
    error = environment.get("clock_error_ns", 0)
    frequency, seconds, ticks = (_number(clock, name) for name in ("freq", "offset_s", "offset"))
    if frequency <= 0 or not -(1 << 33) < seconds < 1 << 33 or not 0 <= ticks < 1 << 63:
        raise TsdlError("its clock is impossible")
    return Fit(frequency, seconds, ticks, error if isinstance(error, int) else 0)


def _stream_class(number: int, trace: _Block, stream: _Block, events: Mapping[int, _Block]) -> StreamClass:
    event = events.get(number)
    if event is None:
        raise TsdlError(f"stream {number} has no event")
    kind = next((kind for kind, definition in enumerate(DEFINITIONS) if definition.name == event.get("name")), None)
    if kind is None:
        raise TsdlError(f"unknown event {event.get('name')!r}")
    header = _placed(_structure(trace, "packet.header"), _structure(stream, "packet.context"))
    fields = _structure(event, "fields")
    placed = _placed(_structure(stream, "event.header"), _structure(stream, "event.context"), fields)
    others = len(placed) - len(fields)
    if DEFINITIONS[kind] is USER_SYSCALL_TEXT:
        placed = (*placed[:-1], *_words_of(placed[-1]))
    arguments = len(placed) - others - len(DEFINITIONS[kind].fields)
    _check(header, HEADER_FIELDS, "packet")
    if any(field.code not in _STRUCT_CODES for field in header):
        raise TsdlError("the packet's header is not little-endian")
    shared = any(field.name == "thread" for field in placed)
    _check(placed, _SHARED_EVENT_FIELDS if shared else _EVENT_FIELDS, "event")
    _check_arguments(placed, kind, arguments)
    return StreamClass(number, kind, header, placed, arguments)


HEADER_FIELDS = {
    "magic": 4, "uuid": 16, "stream_id": 4, "stream_instance_id": 8, "timestamp_begin": 8, "timestamp_end": 8,
    "pid": 4, "tid": 4, "vcpu": 4, "comm": 16, "content_size": 8, "packet_size": 8, "events_discarded": 8,
    "packet_seq_num": 8,
}  # fmt: skip
"""The required fields of a packet's header and context, with their sizes in bytes. Their order does not matter."""
_EVENT_FIELDS = {"timestamp": 8, "site": 4}
_SHARED_EVENT_FIELDS = {"timestamp": 8, "thread": 4, "pid": 4, "tid": 4, "vcpu": 4, "comm": 16}
"""The required fields of an event's header and context, with their sizes in bytes, in a stream that threads share."""


def _check(fields: Sequence[TsdlField], needed: Mapping[str, int], where: str) -> None:
    sizes = {field.name: field.size for field in fields}
    for name, size in needed.items():
        if sizes.get(name) != size:
            raise TsdlError(f"the {where}'s field {name} is missing or has the wrong size")
    if len(sizes) != len(fields):
        raise TsdlError(f"the {where} has two fields with the same name")


def _check_arguments(fields: Sequence[TsdlField], kind: int, arguments: int) -> None:
    """Check that the arguments have the names of the event's kind, and are consecutive 64-bit numbers with the same
    byte order."""
    own = fields[len(fields) - arguments - len(DEFINITIONS[kind].fields) :] if arguments >= 0 else ()
    if tuple(field.name for field in own) != DEFINITIONS[kind].field_names(arguments):
        raise TsdlError(f"the fields of {DEFINITIONS[kind].name} are not those that htrun writes")
    last = fields[len(fields) - arguments :]
    steps = {after.offset - before.offset for before, after in pairwise(last)}
    if len({field.code for field in last} | {"u8"}) > 2 or not steps <= {8} or any(field.size != 8 for field in last):
        raise TsdlError(f"the arguments of {DEFINITIONS[kind].name} are not consecutive numbers of the same type")


def _words_of(text: TsdlField) -> tuple[TsdlField, ...]:
    """The words of memory that contain a text, as fields. The arguments of events are always words."""
    if text.name != "text" or text.size != TEXT_BYTES:
        raise TsdlError("the texts of system calls have the wrong size")
    names = USER_SYSCALL_TEXT.argument_names(0)[1:]
    return tuple(
        TsdlField(name, "<u8", text.offset + 8 * place, text.alignment, None) for place, name in enumerate(names)
    )


def _placed(*structures: Sequence[_Member]) -> tuple[TsdlField, ...]:
    """The consecutive fields of ``structures``, each aligned as its type requires (CTF 1.8, 4.1.1, 4.2.1)."""
    fields: list[TsdlField] = []
    end = 0
    for members in structures:
        end = _aligned(end, max((member.integer.alignment for member in members), default=1))
        for member in members:
            offset = _aligned(end, member.integer.alignment)
            fields.append(TsdlField(member.name, member.integer.code, offset, member.integer.alignment, member.count))
            end = fields[-1].end
    return tuple(fields)


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _alignment(fields: Sequence[TsdlField]) -> int:
    return max(field.alignment for field in fields)


def _dtype(fields: Sequence[TsdlField], size: int) -> np.dtype[Any]:
    return np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [_format(field) for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": size,
        }
    )


def _format(field: TsdlField) -> str | tuple[str, tuple[int]]:
    return field.code if field.count is None else (field.code, (field.count,))


def _struct_format(fields: Sequence[TsdlField], size: int) -> Iterator[str]:
    end = 0
    for field in fields:
        yield f"{field.offset - end}x{field.count or ''}{_STRUCT_CODES[field.code]}"
        end = field.end
    yield f"{size - end}x"


_STRUCT_CODES = {"<u1": "s", "<u4": "I", "<u8": "Q"}
"""The `struct` codes for numpy's types. Single bytes occur only in arrays: in a UUID, or in a name."""
