"""Statistical inference from durations: intervals of medians, modes, and drift.

Importing scipy takes longer than pairing a million events, so the few methods that each report needs are here. The
tests compare their results with those of scipy.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.distribution import Distribution, is_gap
from htrun.analysis.timing.probability import normal_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
_TAIL = (1 - CONFIDENCE) / 2
_SEED = 1
"""A fixed seed: the same trace always has the same figures."""
_RESAMPLES = 2000
_WINDOW = 6.0
"""The distance from the median, in standard errors, within which each value is resampled individually."""
_MOST_VALUES = 512
"""The maximum number of distinct values within `_WINDOW` for resampling. If there are more, no steps are visible."""
_FEW = 0.8
"""The maximum share of distinct values among the values within `_WINDOW` for resampling. If the share is greater, the
values do not form steps."""

_MODES_LEAST = 50
"""The minimum number of values required for a search for modes."""
_GRID = 512
_SECOND_PEAK = 0.1
"""The minimum height of a second mode, relative to the first."""
_VALLEY = 0.6
"""The maximum height of the valley between two modes, relative to the lower mode."""
_FAR = 4
"""The distance in standard deviations at which the normal distribution of the smoothing ends."""
_SHARE = 0.05
"""The minimum share of the values of a mode among all values."""

_DRIFT_LEAST = 20
"""The minimum number of blocks of time required for a search for drift."""
_DRIFT_PROBABILITY = 1e-3
_DRIFT_SHARE = 0.01


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95% interval."""

    value: float
    low: float
    high: float


def median_interval(distribution: Distribution) -> Interval:
    """The median with its bootstrap interval (percentile method).

    Resampling changes only the number of values on each step of the clock near the median, so only these numbers are
    drawn. If the values near the median are distinct, or so many that no steps are visible, no samples are drawn. In
    this case, the limit of the bootstrap is known (Efron 1979, section 3). It is given by order statistics of the
    sample, whose ranks follow from a binomial distribution.
    """
    count, places = distribution.count, distribution.places
    reach = _WINDOW / 2 / np.sqrt(count)
    first = max(int(np.searchsorted(places, 0.5 - reach)) - 1, 0)
    last = min(int(np.searchsorted(places, 0.5 + reach)), len(places) - 1)
    near = last - first + 1
    if near <= _MOST_VALUES and near < _FEW * int(distribution.counts[first : last + 1].sum()):
        medians = _resampled_medians(distribution, first, last)
        low, high = np.quantile(medians, [_TAIL, 1 - _TAIL])
    else:
        share = _order_share(count)
        low, high = distribution.quantiles([share, 1 - share])
    return Interval(distribution.median, float(low), float(high))


@functools.cache
def _order_share(count: int) -> float:
    """The rank of the lower end of the median's interval among ``count`` sorted values, as a share of ``count``.

    The rank is the greatest ``k`` for which the ``k``-th value exceeds the true median with a probability of at most
    2.5%. This probability is binomial. Between whole numbers ``k``, it is interpolated by the beta distribution.

    The rank is from the expansion of the binomial quantile: the distribution is symmetric, its excess kurtosis is
    ``-2 / count`` (Cornish, Fisher 1938), and it is discrete (Esseen 1945). The error is less than 0.005, and less than
    0.001 from 10 values on.
    """
    z = normal_quantile(1 - _TAIL)
    rank = (count + 1 - math.sqrt(count) * (z - (z**3 - z) / (12 * count))) / 2
    return max(rank - 0.5, 0.0) / count


def _resampled_medians(distribution: Distribution, first: int, last: int) -> Floats:
    """The medians of `_RESAMPLES` samples that are drawn from ``distribution`` and have its size. Values whose index is
    below ``first`` or above ``last`` are replaced by the value at ``first`` or ``last``."""
    before, after = distribution.counts[:first].sum(), distribution.counts[last + 1 :].sum()
    counts = np.concatenate([[before], distribution.counts[first : last + 1], [after]])
    # The first and the last count are those of many values, which are too far from the median to become a resampled
    # median.
    values = np.pad(distribution.values[first : last + 1], 1, mode="edge")
    total = distribution.count
    drawn = np.random.default_rng(_SEED).multinomial(total, counts / total, size=_RESAMPLES)
    places = (np.cumsum(drawn, axis=1) - drawn / 2) / total
    rows = np.arange(_RESAMPLES)
    # The nearest drawn values on either side of the middle.
    above = np.argmax((drawn > 0) & (places >= 0.5), axis=1)
    below = len(values) - 1 - np.argmax(((drawn > 0) & (places <= 0.5))[:, ::-1], axis=1)
    above = np.where((places[rows, above] >= 0.5) & (drawn[rows, above] > 0), above, below)
    below = np.where((places[rows, below] <= 0.5) & (drawn[rows, below] > 0), below, above)
    low, high = values[below], values[above]
    # See `Distribution`: between values that are far apart, only single values are joined by a line.
    single, between = 0.5 / total, places[rows, below] + drawn[rows, below] / 2 / total
    widths = np.where(is_gap(high - low, distribution.step), np.minimum(distribution.step, (high - low) / 2), np.nan)
    inner = (
        (places[rows, below], low),
        (between - single, low + widths * (1 - 1 / drawn[rows, below])),
        (between + single, high - widths * (1 - 1 / drawn[rows, above])),
        (places[rows, above], high),
    )
    medians = _on_line(0.5, inner[0], inner[3])
    for one, other in pairwise(inner):
        inside = ~np.isnan(widths) & (one[0] <= 0.5) & (other[0] >= 0.5)
        medians = np.where(inside, _on_line(0.5, one, other), medians)
    return medians


def _on_line(share: float, one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> Floats:
    """The values at ``share`` on the lines between the points ``one`` and the points ``other``. A point consists of a
    share and a value. If both points of a line have the same share, the result is the value of ``one``."""
    width = other[0] - one[0]
    part = np.where(width > 0, (share - one[0]) / np.where(width > 0, width, 1), 0.0)
    value: Floats = one[1] + part * (other[1] - one[1])
    return value


def modes(distribution: Distribution, step: float) -> tuple[float, ...]:
    """The centres of the clusters of values, if there are several clusters with clear valleys between them.

    ``step``: the step of the clock; clusters whose distance is at most one step are a single cluster. The lowest and
    the highest 1% of the values are ignored.
    """
    if distribution.count < _MODES_LEAST:
        return ()
    low, high = distribution.quantiles([0.01, 0.99])
    inside = (distribution.values >= low) & (distribution.values <= high)
    core = Distribution(distribution.values[inside], distribution.counts[inside], distribution.step)
    first, third = core.quartiles
    spread = min(np.sqrt(core.variance), (third - first) / 1.34) or np.sqrt(core.variance)
    # Silverman's rule (1986, equation 3.31), but wide enough to smooth out the clock's steps.
    width = max(0.9 * spread * core.count**-0.2, step)
    if high - low <= 2 * width:
        return ()
    margin = 3 * width
    grid = min(max(int((high - low + 2 * margin) / width * 4), 16), 16 * _GRID)
    edges = np.linspace(low - margin, high + margin, grid + 1)
    density = _smoothed(core.histogram(edges).astype(np.float64), width / (edges[1] - edges[0]))
    kept = _apart(density, [peak for peak in _peaks(density) if density[peak] >= _SECOND_PEAK * density.max()])
    if len(kept) < 2:
        return ()
    bounds = [0, *(int(one + np.argmin(density[one:other])) for one, other in pairwise(kept)), grid]
    shares = [density[one:other].sum() / density.sum() for one, other in pairwise(bounds)]
    middles = (edges[1:] + edges[:-1]) / 2
    found = [float(middles[peak]) for peak, share in zip(kept, shares, strict=True) if share >= _SHARE]
    return tuple(found) if len(found) > 1 else ()


def _smoothed(counts: Floats, width: float) -> Floats:
    """``counts``, smoothed by a normal distribution with the standard deviation ``width``, in units of elements."""
    reach = int(_FAR * width + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.convolve(counts, weights / weights.sum())[reach : reach + len(counts)]


def _peaks(values: Floats) -> list[int]:
    """The positions of the local maxima of ``values``, except at the ends. Equal values have the position of their
    middle."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    levels, ends = values[starts], np.append(starts[1:], len(values)) - 1
    top = 1 + np.flatnonzero((levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:]))
    middles: list[int] = ((starts[top] + ends[top]) // 2).tolist()
    return middles


def _apart(density: Floats, peaks: Sequence[int]) -> list[int]:
    """The ``peaks`` between which ``density`` has deep valleys. Of two peaks without a deep valley between them, only
    the higher is kept."""
    kept: list[int] = []
    for peak in peaks:
        while kept and density[kept[-1] : peak].min() > _VALLEY * min(density[kept[-1]], density[peak]):
            if density[kept[-1]] >= density[peak]:
                break
            kept.pop()
        else:
            kept.append(peak)
    return kept


def drift(blocks: Floats, step: float) -> float | None:
    """The increase from the first to the last of ``blocks``, the medians of consecutive stretches of equal size.

    The result is negative for a decrease. It is None if the change may be due to random variation (Kendall's tau), or
    is negligible: at most ``step``, or at most 1% of the median.
    """
    if len(blocks) < _DRIFT_LEAST:
        return None
    if not _probability_of_order(blocks) < _DRIFT_PROBABILITY:
        return None
    change = _slope(blocks) * (len(blocks) - 1)
    return change if abs(change) > max(step, _DRIFT_SHARE * float(np.median(blocks))) else None


def _probability_of_order(values: Floats) -> float:
    """The two-sided probability that ``values`` in random order would ascend or descend as much as they do (Kendall,
    Rank Correlation Methods, 1970, chapter 4: the normal approximation with ties). 1 if all are equal."""
    count = len(values)
    later = [np.sign(values[place + 1 :] - values[place]).sum() for place in range(count - 1)]
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    variance = (count * (count - 1) * (2 * count + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    return math.erfc(abs(float(np.sum(later))) / math.sqrt(2 * variance)) if variance > 0 else 1.0


def _slope(values: Floats) -> float:
    """The median of the slopes between any two of ``values`` (Sen, Estimates of the regression coefficient based on
    Kendall's tau, 1968)."""
    count = len(values)
    slopes = [(values[place + 1 :] - values[place]) / np.arange(1, count - place) for place in range(count - 1)]
    return float(np.median(np.concatenate(slopes)))


class Blocks:
    """The medians of consecutive stretches of durations. The number of stretches is bounded: when there are too many,
    each two adjacent stretches are merged."""

    _MOST = 512
    _FIRST = 16

    def __init__(self) -> None:
        self._rest = np.empty(0, np.float64)
        self._medians = np.empty(0, np.float64)
        self._pairs = 0
        self._half: list[float] = []

    def add(self, durations: Floats) -> None:
        """Add the next durations."""
        values = np.concatenate([self._rest, durations])
        whole = len(values) // self._FIRST * self._FIRST
        self._rest = values[whole:]
        # Sorting short rows is much faster than numpy's search for their medians.
        ordered, middle = np.sort(values[:whole].reshape(-1, self._FIRST), axis=1), self._FIRST // 2
        medians = (ordered[:, middle - 1] + ordered[:, middle]) / 2
        self._medians = np.concatenate([self._medians, self._combined(medians)])
        while len(self._medians) >= 2 * self._MOST:
            even = len(self._medians) // 2 * 2
            self._half = []
            self._medians = self._medians[:even].reshape(-1, 2).mean(axis=1)
            self._pairs += 1

    @property
    def medians(self) -> Floats:
        """The median of each complete stretch."""
        return self._medians

    def _combined(self, medians: Floats) -> Floats:
        size = 1 << self._pairs
        values = np.concatenate([np.array(self._half, np.float64), medians])
        whole = len(values) // size * size
        self._half = values[whole:].tolist()
        combined: Floats = values[:whole].reshape(-1, size).mean(axis=1)
        return combined
