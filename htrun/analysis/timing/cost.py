"""What an event costs, by the calibration pairs of a trace (`htrun.events.calibration`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.distribution import Distribution, Tally
from htrun.analysis.timing.inference import Interval, median_interval
from htrun.events.calibration import PAIRS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.analysis.timing.clock_step import ClockStep
    from htrun.analysis.timing.spans import Spans

CALIBRATION_LEAST = 20
"""Pairs of a sort without which no cost is told."""
_WARM_UP = 2
"""Pairs of each sort and thread that are left out: their sites trap, and code is fetched for the first time."""

_BEYOND = 3
"""How many times as far from the middle of what is measured any code may be: loops, copies, spins and chains of
multiplications, of 50 ns to 1 us, were at most so (AMD Zen 4, both kinds of time stamps)."""


@dataclass(frozen=True)
class Cost:
    """What an event costs, ns.

    ``alone``: with nothing before it, so that no part of it can be done beside other work. ``behind_work``: behind work
    that keeps the processor waiting, so that much of it can; where that work is so slow that the clock is read before
    it has ended, the cost is negative. None if the guest library was too old to measure it. ``pairs``: that ``alone``
    was measured on; ``threads``: of those with pairs, how many.
    """

    alone: Interval
    behind_work: Interval | None
    pairs: int
    threads: int

    @classmethod
    def of(cls, sorts: Sequence[Distribution | None], threads: int) -> Cost | None:
        """By pairs of each sort of `PAIRS`; None if there are too few."""
        alone, work, twice = (
            None if each is None or each.count < CALIBRATION_LEAST else median_interval(each) for each in sorts
        )
        if alone is None or sorts[0] is None:
            return None
        behind = None if work is None or twice is None else _without_work(work, twice)
        return cls(alone, behind, sorts[0].count, threads)

    @property
    def interval(self) -> Interval:
        """What is taken for the cost: the middle of the two. The interval tells what sampling leaves uncertain."""
        one, other = self.alone, self.behind_work or self.alone
        value = (one.value + other.value) / 2
        low = math.hypot(one.value - one.low, other.value - other.low) / 2
        high = math.hypot(one.high - one.value, other.high - other.value) / 2
        return Interval(value, value - low, value + high)

    @property
    def uncertainty(self) -> float:
        """Half the 95% interval, ns."""
        return (self.interval.high - self.interval.low) / 2

    @property
    def reach(self) -> float:
        """How far from `interval` the cost may be around any code, ns. Half as far as the two that were measured are
        from each other would do for these; other code lies outside the two, see `_BEYOND`. As far as to no cost at
        all, where only one was measured."""
        if self.behind_work is None:
            return self.interval.value
        return _BEYOND * abs(self.alone.value - self.behind_work.value) / 2

    def floor(self, step: ClockStep) -> float:
        """The length, ns, below which a corrected duration can't be told from nothing."""
        return max(step.ns, 2 * (self.uncertainty + self.reach))


def _without_work(work: Interval, twice: Interval) -> Interval:
    """What is left of pairs with work when that is taken away: a line through both, drawn on to no work."""
    value = 2 * work.value - twice.value
    low = math.hypot(2 * (work.value - work.low), twice.high - twice.value)
    high = math.hypot(2 * (work.high - work.value), twice.value - twice.low)
    return Interval(value, value - low, value + high)


class _Tries:
    """Pairs of one sort and thread, but for the first."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._seen = 0

    def add(self, step: ClockStep, spans: Spans) -> None:
        own = spans[max(_WARM_UP - self._seen, 0) :]
        self._seen += len(spans)
        # Otherwise something else came between: a signal's handler, say.
        own = own[own["steps"] == 1]
        self._tally.add(step.counted(own["end"] - own["begin"]), own["steps"].astype(np.int64))

    def distribution(self, step: ClockStep) -> Distribution | None:
        durations, _, counts = self._tally.pairs()
        return Distribution.of(durations * step.ns, counts) if len(counts) else None


class CalibrationPairs:
    """The calibration pairs of one thread, of each sort of `PAIRS`."""

    def __init__(self) -> None:
        self.sorts = [_Tries() for _ in PAIRS]

    def distributions(self, step: ClockStep) -> list[Distribution | None]:
        """The durations of each sort's pairs, in ns; None for a sort of which there are none."""
        return [each.distribution(step) for each in self.sorts]
