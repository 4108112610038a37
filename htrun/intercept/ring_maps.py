"""Which rings of the run's pool an address space has mapped, and where.

A process maps rings as its threads need them, and a few more, for its next threads and for forked children, which
inherit the mappings. All of them at once would be gigabytes: too much for a program that limits its address
space (RLIMIT_AS), or locks its memory (mlockall(2)).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_FEW = 32
"""The fewest rings that are mapped at a time. Most programs have no more threads that emit, and no more children that
exit between two rounds of the drain, which frees their rings."""
_MANY = 256
"""And at most."""


class Piece(NamedTuple):
    """``rings``: how many there are, from the number ``first`` on, of ``size`` bytes each, at ``address``."""

    first: int
    rings: int
    size: int
    address: int

    @property
    def length(self) -> int:
        """Bytes."""
        return self.rings * self.size

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.length

    @property
    def base(self) -> int:
        """Where ring 0 would lie."""
        return self.address - self.first * self.size

    def part(self, first: int, count: int) -> Piece:
        """Some of its rings."""
        return Piece(first, count, self.size, self.base + first * self.size)


@dataclass(eq=False, slots=True)
class RingMaps:
    """The rings of one address space. ``most``: rings of the pool."""

    most: int
    pieces: list[Piece] = field(default_factory=list)
    """Sorted, and separate."""

    def __contains__(self, address: int) -> bool:
        return any(piece.address <= address < piece.end for piece in self.pieces)

    def base_of(self, number: int) -> int | None:
        """The address that ring 0 would have in the mapping of ring ``number``; None if that ring is not mapped."""
        place = bisect.bisect_right(self.pieces, number, key=lambda piece: piece.first) - 1
        if place < 0:
            return None
        piece = self.pieces[place]
        return piece.base if number < piece.first + piece.rings else None

    def wanted(self, number: int, most: int = _MANY) -> tuple[int, int]:
        """The rings to map for ring ``number``, which is not mapped: the first, and how many, at most ``most``. Each
        time as many as there are already, so that thousands are mapped by few calls."""
        count = min(max(sum(piece.rings for piece in self.pieces), _FEW), _MANY, most)
        count = 1 << count.bit_length() - 1
        while count > 1:
            first = number // count * count
            if not any(piece.first < first + count and first < piece.first + piece.rings for piece in self.pieces):
                return first, min(count, self.most - first)
            count //= 2
        return number, 1

    def add(self, piece: Piece) -> None:
        """``piece`` is mapped."""
        bisect.insort(self.pieces, piece)

    def fork(self, is_mapped: Callable[[int], bool]) -> RingMaps:
        """The rings that a forked child has."""
        return RingMaps(self.most, [piece for piece in self.pieces if is_mapped(piece.address)])

    def spare(self, used: Iterable[int]) -> Iterator[Piece]:
        """What is mapped except for the rings with the numbers ``used``."""
        for piece in self.pieces:
            start, end = piece.first, piece.first + piece.rings
            for number in sorted(number for number in used if start <= number < end):
                if start < number:
                    yield piece.part(start, number - start)
                start = number + 1
            if start < end:
                yield piece.part(start, end - start)

    def remove(self, gone: Piece) -> None:
        """``gone``, a part of a piece, is no longer mapped."""
        place = bisect.bisect_right(self.pieces, gone.first, key=lambda piece: piece.first) - 1
        piece = self.pieces[place]
        end = gone.first + gone.rings
        rest = [piece.part(piece.first, gone.first - piece.first), piece.part(end, piece.first + piece.rings - end)]
        self.pieces[place : place + 1] = [each for each in rest if each.rings]
