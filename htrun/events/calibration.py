"""Pairs of events that a guest emits so that the cost of an event is known.

``qemu_hypertrace_calibrate()`` of the guest library emits them. The duration of a pair with nothing between is what a
span has too much, and what each event within a span adds to it, if nothing of the event runs beside the guest's code.
How much does so after work is known from pairs with such work and with twice as much: two times the one less the other
is what the event costs there. That depends on the work and the processor, so there are several kinds of work.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """One sort of pairs. ``name``: of the spans they make; ``begin``, ``end``: ``arg1`` of the two events."""

    name: str
    begin: int
    end: int


_FIRST = 0x6362_7261_7465_0001


def _pair(name: str, number: int) -> Pair:
    begin = _FIRST + 2 * number
    return Pair(name, begin, begin + 1)


@dataclass(frozen=True)
class Work:
    """A kind of work that is timed by events: pairs with some of it, and with twice as much."""

    name: str
    once: Pair
    twice: Pair

    @classmethod
    def of(cls, name: str, number: int) -> Work:
        """With the pairs of this number and the next."""
        return cls(name, _pair(f"(calibration, {name})", number), _pair(f"(calibration, {name} twice)", number + 1))


EMPTY = _pair("(calibration)", 0)
"""Nothing between: ``QEMU_HYPERTRACE_CALIBRATION_BEGIN`` and ``_END`` of the guest library."""
WORKS = tuple(
    Work.of(name, 1 + 2 * place) for place, name in enumerate(("chain", "loop", "division", "branches", "loads"))
)
"""Arithmetic in which each step needs the one before; the same in a loop; divisions; branches that can't be foreseen;
loads from beyond the nearest cache. Older guest libraries emit the first only, the oldest none."""
PAIRS = (EMPTY, *(pair for work in WORKS for pair in (work.once, work.twice)))
IDS = tuple(each for pair in PAIRS for each in (pair.begin, pair.end))
"""``arg1`` of all such events."""
