"""Converts the entries of a kernel's own trace to ordinary rows of events, with the names and types of their fields.

The first argument of a row is the kind of event, the second is the time of the event by the guest's clock, and the
others are the fields of the event's format. A number is one argument, a short array of numbers is one argument for each
element, and every other field is a text, whose number the row contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.ftrace.formats import EventFormat, Field, Location
from htrun.analysis.ftrace.print_format import symbol_fields
from htrun.events.arguments import IDENTIFIER, Argument, ArgumentType
from htrun.events.named import NamedEvent

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_FIELD = 2
"""The number of arguments before the fields in a row."""
GUEST_TIME = Argument("guest_time")
"""The guest's monotonic clock in ns."""
_MOST_ELEMENTS = 16
_SIZES = (1, 2, 4, 8)
_ELEMENT_SIZES = {
    "char": 1, "u8": 1, "s8": 1, "__u8": 1, "uint8_t": 1, "u16": 2, "s16": 2, "__u16": 2, "short": 2, "u32": 4,
    "s32": 4, "__u32": 4, "int": 4, "u64": 8, "s64": 8, "__u64": 8, "long": 8,
}  # fmt: skip


class InternedTexts(Mapping[int, str]):
    """Texts by number, counted from 0. Equal texts have the same number. Texts are kept while the trace is in use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []

    def number(self, text: str) -> int:
        """The number of ``text``, which is added if it is new."""
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self._texts):
            raise KeyError(number)
        return self._texts[number]

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._texts)))

    def __len__(self) -> int:
        return len(self._texts)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True)
class _Part:
    """The decoding of one field.

    ``symbol``: whether the field is an address that is printed as the name of a function.
    ``element``: the size in bytes of an element, if the field is an array; 0 for bytes of unknown meaning.
    """

    field: Field
    arguments: tuple[Argument, ...]
    symbol: bool = False
    element: int = 0


class KernelEvent:
    """One kind of event. ``named``: the definition of the event for readers of the trace."""

    def __init__(self, format_: EventFormat, number: int, title: str, texts: InternedTexts) -> None:
        self.format = format_
        self._texts = texts
        symbols = symbol_fields(format_.print_format)
        self._parts = [_part(field, field.name in symbols, texts) for field in format_.fields if field.name != _TYPE]
        arguments = [GUEST_TIME, *(argument for part in self._parts for argument in part.arguments)]
        self.named = NamedEvent(number, title, arguments=_distinct(arguments), carried=True)

    def members(self) -> Iterator[tuple[str, int]]:
        """The arguments: the name that ``print fmt`` uses for each, such as ``field[0]`` for an element, and its
        position."""
        place = FIRST_FIELD - 1
        for part in self._parts:
            for number in range(len(part.arguments)):
                yield (part.field.name if len(part.arguments) == 1 else f"{part.field.name}[{number}]"), place
                place += 1

    def fill(
        self, arguments: NDArray[np.uint64], entries: NDArray[np.uint8], order: str, symbols: Mapping[int, str]
    ) -> None:
        """Store the fields of ``entries`` in ``arguments``. Each row of ``entries`` holds the bytes of an entry, in the
        byte order ``order``; the same row of ``arguments`` receives its fields."""
        place = FIRST_FIELD
        for part in self._parts:
            columns = _Reader(entries, order, symbols, self._texts).columns(part)
            for column in columns:
                arguments[:, place] = column
                place += 1


_TYPE = "common_type"


def _part(field: Field, symbol: bool, texts: InternedTexts) -> _Part:
    text = Argument(field.name, ArgumentType.TEXT, labels=texts)
    if field.location is not Location.HERE or field.is_text:
        return _Part(field, (text,), element=_element_size(field))
    if field.is_array:
        size = field.size // field.length if field.length and field.size % field.length == 0 else 0
        if size in _SIZES[1:] and field.length <= _MOST_ELEMENTS:
            kind = ArgumentType.I64 if field.signed else ArgumentType.U64
            return _Part(field, tuple(Argument(f"{field.name}{number}", kind) for number in range(field.length)))
        return _Part(field, (text,), element=size)
    if field.size not in _SIZES:
        return _Part(field, (text,))
    if symbol:
        return _Part(field, (text,), symbol=True)
    return _Part(field, (Argument(field.name, _number_type(field)),))


def _number_type(field: Field) -> ArgumentType:
    if field.is_pointer:
        return ArgumentType.HEX
    if field.type in ("bool", "_Bool"):
        return ArgumentType.BOOL
    return ArgumentType.I64 if field.signed else ArgumentType.U64


def _element_size(field: Field) -> int:
    words = re.findall(r"\w+", field.type)
    return next((_ELEMENT_SIZES[word] for word in words if word in _ELEMENT_SIZES), 0)


def _distinct(arguments: list[Argument]) -> tuple[Argument, ...]:
    """``arguments`` with names that are unique and valid for readers of the trace."""
    names: set[str] = set()
    result = []
    for argument in arguments:
        name = argument.name if IDENTIFIER.fullmatch(argument.name) else re.sub(r"\W", "_", argument.name)
        while name in names:
            name += "_"
        names.add(name)
        result.append(Argument(name, argument.type, labels=argument.labels))
    return tuple(result)


@dataclass(frozen=True)
class _Reader:
    """Reads fields from entries of one kind. Each entry is a row of bytes as wide as the longest entry."""

    entries: NDArray[np.uint8]
    order: str
    symbols: Mapping[int, str]
    texts: InternedTexts

    def columns(self, part: _Part) -> list[NDArray[np.uint64]]:
        """The words of the arguments of ``part``."""
        field = part.field
        if field.location is not Location.HERE:
            return [self._located(part)]
        if part.symbol:
            return [self._named(self._numbers(field.offset, field.size, signed=False))]
        if part.arguments[0].type is not ArgumentType.TEXT:
            size = field.size // len(part.arguments)
            offsets = range(field.offset, field.offset + field.size, size)
            return [self._numbers(offset, size, signed=field.signed) for offset in offsets]
        return [self._interned(self._bytes(field.offset, field.size), part)]

    def _bytes(self, offset: int, size: int) -> NDArray[np.uint8]:
        """``size`` bytes of each entry, zeros after its end. An array of unknown size takes the rest of the entry."""
        size = size or max(self.entries.shape[1] - offset, 0)
        found = self.entries[:, offset : offset + size]
        if found.shape[1] == size:
            return found
        padded = np.zeros((len(self.entries), size), np.uint8)
        padded[:, : found.shape[1]] = found
        return padded

    def _numbers(self, offset: int, size: int, *, signed: bool) -> NDArray[np.uint64]:
        raw = np.ascontiguousarray(self._bytes(offset, size)).view(f"{self.order}{'i' if signed else 'u'}{size}")[:, 0]
        return raw.astype(np.int64).view(np.uint64) if signed else raw.astype(np.uint64)

    def _located(self, part: _Part) -> NDArray[np.uint64]:
        field = part.field
        where = self._numbers(field.offset, field.size, signed=False)
        words = np.zeros(len(where), np.uint64)
        # A batch contains few different combinations of length and position.
        for each in np.unique(where).tolist():
            rows = np.flatnonzero(where == each)
            offset, size = each & 0xFFFF, each >> 16
            if field.location is Location.FROM_WORD:
                offset += field.offset + field.size
            size = min(size, max(self.entries.shape[1] - offset, 0))
            words[rows] = self._interned(self.entries[rows, offset : offset + size], part)
        return words

    def _named(self, addresses: NDArray[np.uint64]) -> NDArray[np.uint64]:
        used, place = np.unique(addresses, return_inverse=True)
        names = [self.symbols.get(address, f"0x{address:x}") for address in used.tolist()]
        return np.array([self.texts.number(name) for name in names], np.uint64)[place]

    def _interned(self, rows: NDArray[np.uint8], part: _Part) -> NDArray[np.uint64]:
        """The numbers of the texts in ``rows``."""
        if not rows.shape[1]:
            return np.full(len(rows), self.texts.number(""), np.uint64)
        rows = np.array(rows)
        if part.field.is_text:
            # The bytes after the terminating zero of a text may be leftovers of earlier texts.
            rows[np.logical_or.accumulate(rows == 0, axis=1)] = 0
        used, place = np.unique(rows.view(f"V{rows.shape[1]}")[:, 0], return_inverse=True)
        numbers = [self.texts.number(_text(raw.tobytes(), part, self.order)) for raw in used]
        return np.array(numbers, np.uint64)[place]


def _text(raw: bytes, part: _Part, order: str) -> str:
    """The text of the bytes ``raw`` of one field."""
    if part.field.is_text:
        return raw.rstrip(b"\0").decode(errors="replace").replace("\0", "?")
    size = part.element
    if size > 1 and len(raw) % size == 0:
        numbers = np.frombuffer(raw, f"{order}{'i' if part.field.signed else 'u'}{size}")
        return ",".join(str(number) for number in numbers.tolist())
    return raw.hex(" ")
