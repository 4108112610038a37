"""Tracks which rings of the run's pool are mapped in an address space, and at which addresses.

A process maps rings when its threads need them. It also maps a few more rings, for its next threads and for forked
children, which inherit the mappings. The rings of the whole pool take gigabytes. This is too much for a program that
limits its address space (RLIMIT_AS) or locks its memory (mlockall(2)).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_FEW = 32
"""The minimum number of rings that are mapped in one call. Most programs do not have more threads that emit. They also
do not have more children that exit between two rounds of the drain, which frees the children's rings."""
_MANY = 256
"""The maximum number of rings that are mapped in one call."""


class Piece(NamedTuple):
    """``rings`` rings of ``size`` bytes each, mapped at ``address``. ``first``: the number of the first ring."""

    first: int
    rings: int
    size: int
    address: int

    @property
    def length(self) -> int:
        """The length of the piece in bytes."""
        return self.rings * self.size

    @property
    def end(self) -> int:
        """The first address after the piece."""
        return self.address + self.length

    @property
    def base(self) -> int:
        """The address that ring 0 would have if all rings with lower numbers were mapped just before this piece."""
        return self.address - self.first * self.size

    def part(self, first: int, count: int) -> Piece:
        """The part of the piece that begins with ring ``first`` and has ``count`` rings."""
        return Piece(first, count, self.size, self.base + first * self.size)


class RingMaps:
    """The rings that are mapped in one address space."""

    __slots__ = ("most", "pieces")

    def __init__(self, most: int, pieces: list[Piece] | None = None) -> None:
        self.most = most
        """The number of rings in the pool."""
        self.pieces = pieces if pieces is not None else []
        """The pieces, sorted by ring number. They do not overlap."""

    def __contains__(self, address: int) -> bool:
        return any(piece.address <= address < piece.end for piece in self.pieces)

    def base_of(self, number: int) -> int | None:
        """The address that ring 0 would have in the mapping that contains ring ``number``; None if that ring is not
        mapped."""
        place = bisect.bisect_right(self.pieces, number, key=lambda piece: piece.first) - 1
        if place < 0:
            return None
        piece = self.pieces[place]
        return piece.base if number < piece.first + piece.rings else None

    def wanted(self, number: int, most: int = _MANY) -> tuple[int, int]:
        """The rings that must be mapped so that ring ``number`` is mapped. It is not mapped yet. Returns the number of
        the first ring, and the count, which is at most ``most``. Each call doubles the number of mapped rings, so a few
        calls map thousands."""
        count = min(max(sum(piece.rings for piece in self.pieces), _FEW), _MANY, most)
        count = 1 << count.bit_length() - 1
        while count > 1:
            first = number // count * count
            if not any(piece.first < first + count and first < piece.first + piece.rings for piece in self.pieces):
                return first, min(count, self.most - first)
            count //= 2
        return number, 1

    def add(self, piece: Piece) -> None:
        """Add ``piece``, which is now mapped."""
        bisect.insort(self.pieces, piece)

    def fork(self, is_mapped: Callable[[int], bool]) -> RingMaps:
        """The rings that are mapped in a forked child. ``is_mapped``: whether the child has mapped an address."""
        return RingMaps(self.most, [piece for piece in self.pieces if is_mapped(piece.address)])

    def spare(self, used: Iterable[int]) -> Iterator[Piece]:
        """The mapped rings, except for those whose numbers are in ``used``."""
        for piece in self.pieces:
            start, end = piece.first, piece.first + piece.rings
            for number in sorted(number for number in used if start <= number < end):
                if start < number:
                    yield piece.part(start, number - start)
                start = number + 1
            if start < end:
                yield piece.part(start, end - start)

    def remove(self, gone: Piece) -> None:
        """Remove ``gone``, a part of a piece, because it is no longer mapped."""
        place = bisect.bisect_right(self.pieces, gone.first, key=lambda piece: piece.first) - 1
        piece = self.pieces[place]
        end = gone.first + gone.rings
        rest = [piece.part(piece.first, gone.first - piece.first), piece.part(end, piece.first + piece.rings - end)]
        self.pieces[place : place + 1] = [each for each in rest if each.rings]
