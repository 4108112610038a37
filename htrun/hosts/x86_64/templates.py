"""Templates of machine code. A template declares the code once, as fixed bytes, named fields and named positions.

The declaration gives both the code for any address (`Template.link`) and the offsets of the parts (`Linked.offset`), so
the code and the offsets cannot disagree. The idea comes from rr's ``assembly_templates.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from htrun.hosts.host import OutOfReach


@dataclass(frozen=True, slots=True)
class Place:
    """A name for the position of the next byte: a target for branches in the template, and for `Linked.offset`."""

    name: str


@dataclass(frozen=True, slots=True)
class Relative:
    """Four bytes: the distance to the target's address. It is counted from ``behind`` bytes after the end of this
    field."""

    target: str
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Absolute:
    """Eight bytes: the address or the value of a name."""

    name: str


Piece = bytes | Place | Relative | Absolute


def _width(piece: Piece) -> int:
    match piece:
        case bytes():
            return len(piece)
        case Place():
            return 0
        case Relative():
            return 4
        case Absolute():
            return 8


@dataclass(frozen=True, slots=True)
class Linked:
    """The code of a template for one address, and the offset of each named position."""

    code: bytes
    places: Mapping[str, int]

    def offset(self, place: str) -> int:
        """The distance in bytes from the start of the code to ``place``."""
        return self.places[place]


@dataclass(frozen=True, slots=True)
class Template:
    """The declaration of a piece of machine code."""

    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, *parts: Piece | Iterable[Piece]) -> Template:
        """A template that consists of pieces and groups of pieces, in order."""
        pieces: list[Piece] = []
        for part in parts:
            if isinstance(part, bytes | Place | Relative | Absolute):
                pieces.append(part)
            else:
                pieces.extend(part)
        return cls(tuple(pieces))

    @property
    def size(self) -> int:
        """The length of the code in bytes, which is the same for all addresses."""
        return sum(map(_width, self.pieces))

    def places(self) -> dict[str, int]:
        """The offset of each named position (bytes)."""
        places, offset = {}, 0
        for piece in self.pieces:
            if isinstance(piece, Place):
                places[piece.name] = offset
            offset += _width(piece)
        return places

    def link(self, at: int, names: Mapping[str, int]) -> Linked:
        """The code for address ``at``. ``names``: the values of names that are not positions in the code. Raises
        `OutOfReach`."""
        places = self.places()
        values = {**names, **{name: at + offset for name, offset in places.items()}}
        code = bytearray()
        for piece in self.pieces:
            match piece:
                case bytes():
                    code += piece
                case Relative(target, behind):
                    code += _displacement(at + len(code) + 4 + behind, values[target])
                case Absolute(name):
                    code += (values[name] % (1 << 64)).to_bytes(8, "little")
                case Place():
                    pass
        return Linked(bytes(code), places)


def _displacement(origin: int, target: int) -> bytes:
    distance = target - origin
    if not -(1 << 31) <= distance < 1 << 31:
        raise OutOfReach(f"{target:#x} is more than 2 GiB from {origin:#x}")
    return distance.to_bytes(4, "little", signed=True)
