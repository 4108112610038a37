"""Parses the formats of a guest kernel's events, which its tracefs contains in ``events/SYSTEM/NAME/format``.

::

    name: sched_switch
    ID: 314
    format:
            field:unsigned short common_type;       offset:0;       size:2; signed:0;
            ...
    print fmt: "prev_comm=%s ...", REC->prev_comm, ...

(Linux: Documentation/trace/events.rst, kernel/trace/trace_events.c.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from htrun.errors import HtrunError

_FIELD = re.compile(
    r"\s*field(?:\s+special)?:(?P<declaration>[^;]*);\s*offset:(?P<offset>\d{1,9});\s*size:(?P<size>\d{1,9});"
    r"(?:\s*signed:(?P<signed>\d);)?\s*"
)
_DECLARATION = re.compile(r"(?P<type>.+?)\s*\b(?P<name>[A-Za-z_]\w*)\s*(?P<array>\[[^\]]*\])?\s*")
_LOCATED = re.compile(r"(__data_loc|__rel_loc)\s+(.*)")
_SYSTEM = re.compile(r"[\w.-]+")
_NUMBER = re.compile(r"\d{1,9}")
_MOST_TYPES = 1 << 16
"""The maximum number of kinds of events: an entry holds the number of its kind in 16 bits."""
_MOST_BYTES = 1 << 24


class Location(Enum):
    """The location of a field's bytes: in the fixed part of the entry, or after the fixed part.

    If the bytes are after the fixed part, a word in the fixed part holds their offset. The offset is counted from the
    start of the entry (``__data_loc``) or from the end of that word (``__rel_loc``).
    """

    HERE = ""
    FROM_START = "__data_loc"
    FROM_WORD = "__rel_loc"


@dataclass(frozen=True)
class Field:
    """One field of an entry.

    ``type``: the C type of the field, or of an element if ``is_array`` is true; ``offset``, ``size``: in bytes.
    """

    name: str
    type: str
    offset: int
    size: int
    signed: bool = False
    is_array: bool = False
    length: int = 0
    """The number of elements of an array in the entry; 0 if unknown."""
    location: Location = Location.HERE

    @property
    def is_pointer(self) -> bool:
        """Whether the field is an address."""
        return self.type.endswith("*") and not self.is_array

    @property
    def is_text(self) -> bool:
        """Whether the field is an array of characters."""
        return self.is_array and re.sub(r"\bconst\b", "", self.type).strip() == "char"


@dataclass(frozen=True)
class EventFormat:
    """One kind of event.

    ``system``: the name of the event's system; empty if unknown.
    ``type``: the number of the kind, which its entries hold.
    ``fields``: the fields, including the common fields of all events.
    ``print_format``: the C expression that formats the event as text.
    """

    system: str
    name: str
    type: int
    fields: tuple[Field, ...]
    print_format: str = ""

    @property
    def title(self) -> str:
        """The name that the event has in ``set_event`` of tracefs."""
        return f"{self.system}:{self.name}" if self.system else self.name


def parse_formats(text: str, source: str) -> list[EventFormat]:
    """Parse ``text``: any number of concatenated format files, each optionally preceded by a line with the name of its
    system. ``source``: the name of the text in errors. Raises `HtrunError` with the number of the wrong line."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("name:")]
    if not starts:
        raise HtrunError(f"{source}: no format of an event: the text has no line 'name: ...'")
    formats = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        system = lines[start - 1].strip() if start > 0 else ""
        system = system if _SYSTEM.fullmatch(system) else ""
        try:
            formats.append(_parse(system, lines[start:end]))
        except ValueError as error:
            raise HtrunError(f"{source}: {error} (in the format at line {start + 1})") from None
    return formats


def _parse(system: str, lines: list[str]) -> EventFormat:
    """Parse one format. Raises ValueError."""
    name = lines[0].partition(":")[2].strip()
    type_, fields, print_format = None, [], ""
    for line in lines[1:]:
        key, _, value = line.partition(":")
        match key.strip():
            case "ID" if _NUMBER.fullmatch(value.strip()):
                type_ = int(value)
            case "print fmt":
                print_format = value.strip()
            case "field" | "field special":
                fields.append(_field(line))
    if not name or type_ is None or type_ >= _MOST_TYPES:
        raise ValueError("an event needs a name and an ID below 65536")
    return EventFormat(system, name, type_, tuple(fields), print_format)


def _field(line: str) -> Field:
    match = _FIELD.fullmatch(line)
    declaration = _DECLARATION.fullmatch(match["declaration"]) if match else None
    if match is None or declaration is None:
        raise ValueError(f"{line.strip()!r} is not a field")
    offset, size = int(match["offset"]), int(match["size"])
    if offset > _MOST_BYTES or size > _MOST_BYTES:
        raise ValueError(f"{line.strip()!r} is larger than an entry can be")
    type_, array, location = declaration["type"].strip(), declaration["array"], Location.HERE
    located = _LOCATED.fullmatch(type_)
    if located:
        location, type_ = Location(located[1]), located[2]
        # In "__data_loc char[] name", the brackets belong to the type.
        type_, array = type_.removesuffix("[]").strip(), "[]"
        if size != _LOCATION_SIZE:
            raise ValueError(f"{line.strip()!r}: the word with the location of a field has {_LOCATION_SIZE} bytes")
    elif type_.endswith("[]"):
        type_, array = type_.removesuffix("[]").strip(), array or "[]"
    length = int(array[1:-1]) if array and _NUMBER.fullmatch(array[1:-1]) else 0
    return Field(declaration["name"], type_, offset, size, match["signed"] == "1", array is not None, length, location)


_LOCATION_SIZE = 4
