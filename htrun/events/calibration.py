"""Pairs of events that a guest emits so that the cost of an event is known.

``qemu_hypertrace_calibrate()`` of the guest library emits them, of three sorts in turns. The duration of a pair with
nothing between is what a span has too much, and what each event within a span adds to it, if nothing of the event runs
beside the guest's code. As much as does so behind work that keeps the processor waiting is known from pairs with such
work and with twice as much: two times the one less the other is what the event costs there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """One sort of pairs. ``name``: of the spans they make; ``begin``, ``end``: ``arg1`` of the two events."""

    name: str
    begin: int
    end: int


EMPTY = Pair("(calibration)", 0x6362_7261_7465_0001, 0x6362_7261_7465_0002)
"""Nothing between: ``QEMU_HYPERTRACE_CALIBRATION_BEGIN`` and ``_END`` of the guest library."""
WORK = Pair("(calibration, work)", EMPTY.begin + 2, EMPTY.end + 2)
"""Work that keeps the processor waiting. Older guest libraries know neither this sort nor the next."""
TWICE = Pair("(calibration, twice the work)", EMPTY.begin + 4, EMPTY.end + 4)
"""Twice as much of it."""
PAIRS = (EMPTY, WORK, TWICE)
IDS = tuple(each for pair in PAIRS for each in (pair.begin, pair.end))
"""``arg1`` of all such events."""
