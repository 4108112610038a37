"""Templates of machine code. A template declares the code once, as fixed bytes, named fields and named positions.

The declaration gives both the code for any address (`Template.link`) and the offsets of the parts (`Linked.offset`), so
the code and the offsets cannot disagree. The idea comes from rr's ``assembly_templates.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from htrun.hosts.host import OutOfReach


class Place(NamedTuple):
    """A name for the position of the next byte: a target for branches in the template, and for `Linked.offset`."""

    name: str


class Relative(NamedTuple):
    """Four bytes: the distance to the target's address. It is relative to the address that is ``behind`` bytes after
    the end of this field."""

    target: str
    behind: int = 0


class Absolute(NamedTuple):
    """Eight bytes: the address or the value of a name."""

    name: str


class Word(NamedTuple):
    """Four bytes: the value of a name, an unsigned number."""

    name: str


Piece = bytes | Place | Relative | Absolute | Word


class Linked(NamedTuple):
    """The code of a template for one address, and the offset of each named position."""

    code: bytes
    places: Mapping[str, int]

    def offset(self, place: str) -> int:
        """The distance in bytes from the start of the code to ``place``."""
        return self.places[place]


class Template(NamedTuple):
    """The declaration of a piece of machine code.

    ``code``: the code with zeros in all fields. ``fields``: each field, and the offset of its first byte. ``places``:
    the offset of each named position. All offsets are in bytes.
    """

    code: bytes
    fields: tuple[tuple[int, Relative | Absolute | Word], ...]
    places: Mapping[str, int]

    @classmethod
    def of(cls, *parts: Piece | Iterable[Piece]) -> Template:
        """A template that consists of pieces and groups of pieces, in order."""
        code = bytearray()
        fields: list[tuple[int, Relative | Absolute | Word]] = []
        places: dict[str, int] = {}
        for part in parts:
            for piece in (part,) if isinstance(part, bytes | Place | Relative | Absolute | Word) else part:
                match piece:
                    case bytes():
                        code += piece
                    case Place(name):
                        places[name] = len(code)
                    case Relative() | Word():
                        fields.append((len(code), piece))
                        code += bytes(4)
                    case Absolute():
                        fields.append((len(code), piece))
                        code += bytes(8)
        return cls(bytes(code), tuple(fields), places)

    @property
    def size(self) -> int:
        """The length of the code in bytes, which is the same for all addresses."""
        return len(self.code)

    def link(self, at: int, names: Mapping[str, int]) -> Linked:
        """The code for address ``at``. ``names``: the values of names that are not positions in the code. Raises
        `OutOfReach`."""
        code, places = bytearray(self.code), self.places
        for offset, field in self.fields:
            match field:
                case Relative(target, behind):
                    value = at + places[target] if target in places else names[target]
                    code[offset : offset + 4] = _displacement(at + offset + 4 + behind, value)
                case Absolute(name):
                    value = at + places[name] if name in places else names[name]
                    code[offset : offset + 8] = (value % (1 << 64)).to_bytes(8, "little")
                case Word(name):
                    code[offset : offset + 4] = names[name].to_bytes(4, "little")
        return Linked(bytes(code), places)


def _displacement(origin: int, target: int) -> bytes:
    distance = target - origin
    if not -(1 << 31) <= distance < 1 << 31:
        raise OutOfReach(f"{target:#x} is more than 2 GiB from {origin:#x}")
    return distance.to_bytes(4, "little", signed=True)
