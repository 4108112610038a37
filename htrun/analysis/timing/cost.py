"""What an event costs, by the calibration pairs of a trace (`htrun.events.calibration`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.distribution import Distribution, Tally
from htrun.analysis.timing.inference import Interval, median_interval
from htrun.events.calibration import EMPTY, PAIRS, WORKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.analysis.timing.clock_step import ClockStep
    from htrun.analysis.timing.spans import Spans

CALIBRATION_LEAST = 20
"""Pairs of a sort without which no cost is told."""
_WARM_UP = 2
"""Pairs of each sort and thread that are left out: their sites trap, and code is fetched for the first time."""

_BEYOND = 2.2
"""How many times as far from the middle of what is measured as that reaches any code may be. Where `Cost.after` has
five kinds: of six values of a normal distribution the next is within so many times half their range in 95% of cases."""
_BEYOND_FEW = 3
"""The same where an older guest library measured two values only."""
_SHARE = 0.25
"""Of the cost alone: how far off it may be in any case. Where all kinds agree, it is still not known what other code
does: on one kind of processor (AMD Zen 3) two agreed to 1 ns, and after a third an event cost 6 ns less. As much of an
event as can run beside other code is what stores it; the rest reads the clock."""


@dataclass(frozen=True)
class Cost:
    """What an event costs, ns.

    ``alone``: with nothing before it, so that no part of it can be done beside other work. ``after``: by name, after
    each kind of work (`WORKS`) that keeps the processor waiting, so that much of it can; where that work is so slow
    that the clock is read before it has ended, the cost is negative. Empty if the guest library was too old to measure
    it. ``pairs``: that ``alone`` was measured on; ``threads``: of those with pairs, how many.
    """

    alone: Interval
    after: Mapping[str, Interval]
    pairs: int
    threads: int

    @classmethod
    def of(cls, sorts: Sequence[Distribution | None], threads: int) -> Cost | None:
        """By pairs of each sort of `PAIRS`; None if there are too few."""
        medians = {
            pair: None if each is None or each.count < CALIBRATION_LEAST else median_interval(each)
            for pair, each in zip(PAIRS, sorts, strict=True)
        }
        alone, empty = medians[EMPTY], sorts[0]
        if alone is None or empty is None:
            return None
        after = {}
        for work in WORKS:
            once, twice = medians[work.once], medians[work.twice]
            if once is None or twice is None:
                continue
            found = _without_work(once, twice)
            # Work that took now this long, now that, as loads do on a busy machine, says nothing of the event after it.
            if found.high - found.low <= alone.value:
                after[work.name] = found
        return cls(alone, after, empty.count, threads)

    @property
    def _ends(self) -> tuple[Interval, Interval]:
        """The least and the greatest of what was measured."""
        every = sorted((self.alone, *self.after.values()), key=lambda each: each.value)
        return every[0], every[-1]

    @property
    def interval(self) -> Interval:
        """What is taken for the cost: the middle of what was measured. The interval is what sampling leaves
        uncertain."""
        one, other = self._ends
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
        """How far from `interval` the cost may be around any code, ns. As far as to no cost at all, where only the cost
        alone was measured."""
        if not self.after:
            return self.interval.value
        one, other = self._ends
        beyond = _BEYOND if len(self.after) > 1 else _BEYOND_FEW
        return max(beyond * (other.value - one.value) / 2, _SHARE * self.alone.value)

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
