"""Pairs of events that a guest emits to measure the cost of an event.

``qemu_hypertrace_calibrate()`` of the guest library emits these pairs. An empty pair has no work between its two
events, and its duration is the cost of an event. Each span is too long by this cost, and each event within a span adds
the same cost again, unless the processor overlaps the event with the guest's code. To measure this overlap, there are
pairs with some work between their events, and pairs with twice as much work. Twice the duration of the single work
minus the duration of the double work is the cost of an event after this work. The cost depends on the work and the
processor, so there are several kinds of work.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """One kind of pairs. ``name``: the name of the pairs' spans. ``begin``, ``end``: ``arg1`` of the two events of a
    pair."""

    name: str
    begin: int
    end: int


_FIRST = 0x6362_7261_7465_0001


def _pair(name: str, number: int) -> Pair:
    begin = _FIRST + 2 * number
    return Pair(name, begin, begin + 1)


@dataclass(frozen=True)
class Work:
    """A kind of work between two events: pairs with some of this work, and pairs with twice as much."""

    name: str
    once: Pair
    twice: Pair

    @classmethod
    def of(cls, name: str, number: int) -> Work:
        """The kind of work whose two pairs have the numbers ``number`` and ``number`` + 1."""
        return cls(name, _pair(f"(calibration, {name})", number), _pair(f"(calibration, {name} twice)", number + 1))


EMPTY = _pair("(calibration)", 0)
"""Pairs without work between the events, ``QEMU_HYPERTRACE_CALIBRATION_BEGIN`` and ``_END`` of the guest library."""
WORKS = tuple(
    Work.of(name, 1 + 2 * place) for place, name in enumerate(("chain", "loop", "division", "branches", "loads"))
)
"""The kinds of work: arithmetic in which each step needs the result of the previous step; the same arithmetic in a
loop; divisions; unpredictable branches; loads that miss the nearest cache. Older guest libraries emit only the first
kind, and the oldest libraries emit none."""
PAIRS = (EMPTY, *(pair for work in WORKS for pair in (work.once, work.twice)))
IDS = tuple(each for pair in PAIRS for each in (pair.begin, pair.end))
"""``arg1`` of all calibration events."""
