"""The cost of an event, measured by the calibration pairs of a trace (`htrun.events.calibration`)."""

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
"""The minimum number of pairs of a kind. With fewer pairs, no cost is reported."""
_WARM_UP = 2
"""The number of pairs of each kind that are discarded at the start of each thread: their sites trap, and their code is
not cached.
"""

_BEYOND = 2.2
"""The assumed maximum distance between the cost of an event in any code and the middle of the measured costs. The unit
is half the range of the measured costs. If the costs have a normal distribution and five are measured (`Cost.after`), a
sixth cost is within this distance in 95% of cases."""
_BEYOND_FEW = 3
"""The same distance for an older guest library, which measured only two values."""
_SHARE = 0.25
"""The minimum of `Cost.reach`, as a share of `Cost.alone`.

Even if the costs after all kinds of work agree, the cost after other code may differ. On one processor (AMD Zen 3), the
costs after two kinds of work agreed to 1 ns, but the cost after a third was 6 ns less. An event reads the clock and
stores its data. Only the stores can overlap with other code; this is their share of the cost.
"""


@dataclass(frozen=True)
class Cost:
    """The cost of an event, in ns.

    ``alone``: the cost if no work precedes the event, so that no part of the event overlaps with other work.
    ``after``: the cost after each kind of work (`WORKS`), by its name. The work makes the processor wait, so that a
    large part of the event can overlap with it. The cost is negative if the clock is read before the work has
    completed. ``after`` is empty if the guest library is too old to measure these costs.
    ``pairs``: the number of pairs from which ``alone`` was measured.
    ``threads``: the number of threads that have pairs.
    """

    alone: Interval
    after: Mapping[str, Interval]
    pairs: int
    threads: int

    @classmethod
    def of(cls, sorts: Sequence[Distribution | None], threads: int) -> Cost | None:
        """The cost of an event; None if there are too few pairs. ``sorts``: the durations of the pairs of each kind, in
        the order of `PAIRS`."""
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
            # The duration of the work itself may vary, like that of loads on a busy machine. The cost of the event
            # after the work is then unknown.
            if found.high - found.low <= alone.value:
                after[work.name] = found
        return cls(alone, after, empty.count, threads)

    @property
    def _ends(self) -> tuple[Interval, Interval]:
        """The least and the greatest measured cost."""
        every = sorted((self.alone, *self.after.values()), key=lambda each: each.value)
        return every[0], every[-1]

    @property
    def interval(self) -> Interval:
        """The estimate of the cost: the middle of the measured range, with its interval from sampling."""
        one, other = self._ends
        value = (one.value + other.value) / 2
        low = math.hypot(one.value - one.low, other.value - other.low) / 2
        high = math.hypot(one.high - one.value, other.high - other.value) / 2
        return Interval(value, value - low, value + high)

    @property
    def uncertainty(self) -> float:
        """Half the width of the 95% interval, in ns."""
        return (self.interval.high - self.interval.low) / 2

    @property
    def reach(self) -> float:
        """The maximum distance, in ns, of the cost around any code from the estimate `interval`.

        If only `alone` was measured, the distance is the cost itself: the cost around any code is then assumed to be
        zero or more.
        """
        if not self.after:
            return self.interval.value
        one, other = self._ends
        beyond = _BEYOND if len(self.after) > 1 else _BEYOND_FEW
        return max(beyond * (other.value - one.value) / 2, _SHARE * self.alone.value)

    def floor(self, step: ClockStep) -> float:
        """The length in ns below which a corrected duration cannot be distinguished from zero."""
        return max(step.ns, 2 * (self.uncertainty + self.reach))


def _without_work(work: Interval, twice: Interval) -> Interval:
    """The duration of a pair without the work, extrapolated linearly from the durations with some work and with twice
    as much work."""
    value = 2 * work.value - twice.value
    low = math.hypot(2 * (work.value - work.low), twice.high - twice.value)
    high = math.hypot(2 * (work.high - work.value), twice.value - twice.low)
    return Interval(value, value - low, value + high)


class _Tries:
    """The pairs of one kind in one thread, without the first `_WARM_UP` pairs."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._seen = 0

    def add(self, step: ClockStep, spans: Spans) -> None:
        own = spans[max(_WARM_UP - self._seen, 0) :]
        self._seen += len(spans)
        # Use only pairs with one step. Other pairs contain further events, such as those of a signal handler.
        own = own[own["steps"] == 1]
        self._tally.add(step.counted(own["end"] - own["begin"]), own["steps"].astype(np.int64))

    def distribution(self, step: ClockStep) -> Distribution | None:
        durations, _, counts = self._tally.pairs()
        return Distribution.of(durations * step.ns, counts, step.ns) if len(counts) else None


class CalibrationPairs:
    """The calibration pairs of one thread, by kind of `PAIRS`."""

    def __init__(self) -> None:
        self.sorts = [_Tries() for _ in PAIRS]

    def distributions(self, step: ClockStep) -> list[Distribution | None]:
        """The durations of the pairs of each kind, in ns; None for a kind that has none."""
        return [each.distribution(step) for each in self.sorts]
