"""Measures the smallest step of a clock.

The counters of some processors advance by more than one tick at a time. The step need not be a whole number of ticks:
where a hypervisor or the processor itself scales a counter of 100 MHz, the time stamp counter of 2,445 MHz advances by
24.45 ticks, that is, by 24 or 25 (AMD64 Architecture Programmer's Manual, volume 2, 15.30.5, "TSC Ratio MSR").
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.events.clock import ClockSource

_READINGS = 500
"""The number of readings. With so many, adjacent multiples of the step occur among their differences."""
_LEAST = 4.0
"""The minimum step in ticks that is found if it is not a whole number. Shorter steps cannot be distinguished from the
rounding of the readings."""
_LAGS = (1, 4, 16, 64)
"""The distances of the readings whose differences are used, from rough to exact."""
_NEAR = (2, 5, 12)
"""The distances from the most usual difference, in steps, that are used one after the other while the step is known
only roughly."""
_ROUNDING = 1.5
"""The maximum distance in ticks of a difference of two readings from a multiple of the step. Both are rounded down, and
the kernel's clocks round the counter's ticks to nanoseconds once more."""
_ATTEMPTS = 3
"""The number of series of readings. One series may be unusable, because the thread was interrupted or moved to another
processor."""


def measured_step(source: ClockSource) -> float:
    """The clock's smallest step in ticks, at least 1."""
    step = 1.0
    for _ in range(_ATTEMPTS):
        step = step_of([source.read() for _ in range(_READINGS)])
        if step > 1:
            break
    return step


def step_of(readings: Sequence[int]) -> float:
    """The smallest step in ticks, at least 1, of a clock that returned ``readings`` one after the other."""
    differences = [after - before for before, after in pairwise(readings)]
    whole = float(math.gcd(*differences) or 1)
    # What occurs only once may be due to an interruption.
    repeated = sorted(difference for difference, count in Counter(differences).items() if count > 1)
    step = _shortest_distance(repeated)
    if step < _LEAST or step <= whole:
        return whole
    typical = int(median(differences))
    for near in _NEAR:
        step = _fitted(step, [each - typical for each in differences if abs(each - typical) <= near * step])
    for lag in _LAGS:
        apart = _uninterrupted([after - before for before, after in zip(readings, readings[lag:], strict=False)])
        step = _fitted(step, apart)
        if any(abs(each - round(each / step) * step) > _ROUNDING for each in apart):
            return whole
    return step


def _fitted(step: float, differences: Sequence[int]) -> float:
    """The step, of which ``differences`` are multiples, by least squares. ``step``: a rough value."""
    counted = [(difference, round(difference / step)) for difference in differences]
    squares = sum(count * count for _, count in counted)
    return sum(difference * count for difference, count in counted) / squares if squares else step


def _uninterrupted(differences: Sequence[int]) -> list[int]:
    """``differences`` without the long ones: the thread was interrupted, and the number of steps is not exactly
    known."""
    most = 2 * sorted(differences)[len(differences) // 20]
    return [difference for difference in differences if difference <= most]


def _shortest_distance(differences: Sequence[int]) -> float:
    """The shortest distance between clusters of ``differences``, which are sorted. Numbers that differ by 1 or 2 are a
    cluster: the same multiple of the step, rounded in several ways. 0 if there is only one cluster."""
    clusters: list[list[int]] = []
    for difference in differences:
        if clusters and difference <= clusters[-1][-1] + 2:
            clusters[-1].append(difference)
        else:
            clusters.append([difference])
    middles = [(cluster[0] + cluster[-1]) / 2 for cluster in clusters]
    return min((after - before for before, after in pairwise(middles)), default=0.0)
