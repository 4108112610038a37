"""Statistical inference from durations, with scipy: intervals of medians, modes, and drift."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.distribution import Distribution

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
    drawn. If the values near the median are distinct, or too many for steps to be visible, nothing is drawn: the limit
    of the bootstrap is known for this case (Efron 1979, section 3: order statistics of the sample, whose ranks follow
    from a binomial distribution).
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
    """
    from scipy.optimize import brentq
    from scipy.special import betainc

    def chance_missed(k: float) -> float:
        return float(betainc(count + 1 - k, k, 0.5)) - _TAIL

    if chance_missed(0.5) > 0:
        return 0.0
    k = float(brentq(chance_missed, 0.5, (count + 1) / 2))
    return max(k - 0.5, 0.0) / count


def _resampled_medians(distribution: Distribution, first: int, last: int) -> Floats:
    """The medians of `_RESAMPLES` samples that are drawn from ``distribution`` and have its size. Values whose index is
    below ``first`` or above ``last`` are replaced by the value at ``first`` or ``last``."""
    before, after = distribution.counts[:first].sum(), distribution.counts[last + 1 :].sum()
    counts = np.concatenate([[before], distribution.counts[first : last + 1], [after]])
    # The first and the last count stand for many values, which are so far from the median that no resampled median
    # reaches them.
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
    width = places[rows, above] - places[rows, below]
    part = np.where(width > 0, (0.5 - places[rows, below]) / np.where(width > 0, width, 1), 0.0)
    medians: Floats = values[below] + part * (values[above] - values[below])
    return medians


def modes(distribution: Distribution, step: float) -> tuple[float, ...]:
    """The centres of the clusters of values, if there are several clusters with clear valleys between them.

    ``step``: the step of the clock; clusters whose distance is at most one step are a single cluster. The lowest and
    the highest 1% of the values are ignored.
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    if distribution.count < _MODES_LEAST:
        return ()
    low, high = distribution.quantiles([0.01, 0.99])
    inside = (distribution.values >= low) & (distribution.values <= high)
    core = Distribution(distribution.values[inside], distribution.counts[inside])
    first, third = core.quartiles
    spread = min(np.sqrt(core.variance), (third - first) / 1.34) or np.sqrt(core.variance)
    # Silverman's rule (1986, equation 3.31), but wide enough to smooth out the clock's steps.
    width = max(0.9 * spread * core.count**-0.2, step)
    if high - low <= 2 * width:
        return ()
    margin = 3 * width
    grid = min(max(int((high - low + 2 * margin) / width * 4), 16), 16 * _GRID)
    edges = np.linspace(low - margin, high + margin, grid + 1)
    density = gaussian_filter1d(
        core.histogram(edges).astype(np.float64), width / (edges[1] - edges[0]), mode="constant"
    )
    peaks, _ = find_peaks(density, height=_SECOND_PEAK * density.max())
    kept = _apart(density, peaks.tolist())
    if len(kept) < 2:
        return ()
    bounds = [0, *(int(one + np.argmin(density[one:other])) for one, other in pairwise(kept)), grid]
    shares = [density[one:other].sum() / density.sum() for one, other in pairwise(bounds)]
    middles = (edges[1:] + edges[:-1]) / 2
    found = [float(middles[peak]) for peak, share in zip(kept, shares, strict=True) if share >= _SHARE]
    return tuple(found) if len(found) > 1 else ()


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
    from scipy.stats import kendalltau, theilslopes

    if len(blocks) < _DRIFT_LEAST:
        return None
    times = np.arange(len(blocks))
    probability = float(kendalltau(times, blocks).pvalue)
    if not probability < _DRIFT_PROBABILITY:
        return None
    change = float(theilslopes(blocks, times).slope) * (len(blocks) - 1)
    return change if abs(change) > max(step, _DRIFT_SHARE * float(np.median(blocks))) else None


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
        medians = np.median(values[:whole].reshape(-1, self._FIRST), axis=1)
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
