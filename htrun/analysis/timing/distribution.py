"""Distributions of durations: the distinct values, and the number of times that each occurred.

The clock advances in steps, so even a large number of spans has few distinct durations. All figures are exact, and the
memory used hardly grows with the trace.

Quantiles are those of the *mid-distribution* (Ma, Genton, Parzen: Asymptotic properties of sample quantiles of discrete
distributions, 2011): half of a value's share lies below it and half above it, with linear interpolation between values.
A duration of 2.3 steps is measured as 2 steps in seven of ten cases, and as 3 steps in the other three. The median is
then 2.3, whereas the usual median would be 2. If all values are distinct, quantiles of the mid-distribution are the
usual quantiles (Hazen's).

If two neighbouring values differ by more than a step, no duration between them can have caused both. In this case, half
of the share of a value extends only to the next step, and the line to the next value begins there. It is the line
between two single values: the last occurrence of the lower value and the first of the higher value. Otherwise a few
much longer durations would move the median of all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.timing.codes import codes_of, in_order, starts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_PENDING = 1 << 17
"""The number of values that a `Tally` buffers before it counts them."""


@dataclass(frozen=True)
class Distribution:
    """A distribution that is not empty.

    ``values``: the distinct values in ascending order; ``counts``: the number of times that each value occurred;
    ``step``: the step of the clock that measured the values, in their unit, 0 if they are not in steps.
    """

    values: Floats
    counts: Ints
    step: float = 0.0

    @classmethod
    def of(cls, values: Any, counts: Any = None, step: float = 0.0) -> Distribution:
        """The distribution of ``values``, which may be in any order. ``counts``: the number of times that each value
        occurs; None: once. ``step``: see `Distribution`."""
        values = np.asarray(values, np.float64)
        counts = np.ones(len(values), np.int64) if counts is None else np.asarray(counts, np.int64)
        different, places = np.unique(values, return_inverse=True)
        return cls(different, np.bincount(places, counts).astype(np.int64), step)

    @classmethod
    def together(cls, parts: Iterable[Distribution]) -> Distribution:
        """The distribution of all values of ``parts``, of which there must be at least one."""
        some = list(parts)
        if len(some) == 1:
            return some[0]
        step = max(part.step for part in some)
        values, counts = ([getattr(part, name) for part in some] for name in ("values", "counts"))
        return cls.of(np.concatenate(values), np.concatenate(counts), step)

    @cached_property
    def count(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    @cached_property
    def total(self) -> float:
        """The sum of all values."""
        return float(self.values @ self.counts)

    @property
    def mean(self) -> float:
        """The mean of all values."""
        return self.total / self.count

    @cached_property
    def places(self) -> Floats:
        """For each value, the share of all values below it, plus half of its own share."""
        places: Floats = (np.cumsum(self.counts) - self.counts / 2) / self.count
        return places

    def quantiles(self, shares: Any) -> Floats:
        """The quantiles at ``shares``, each from 0 to 1."""
        quantiles: Floats = np.interp(shares, *self._knots)
        return quantiles

    @cached_property
    def _knots(self) -> tuple[Floats, Floats]:
        """Shares and quantiles in ascending order; quantiles between them are on straight lines."""
        far = np.flatnonzero(is_gap(np.diff(self.values), self.step))
        between, single = np.cumsum(self.counts)[far] / self.count, 0.5 / self.count
        widths = np.minimum(self.step, np.diff(self.values)[far] / 2)
        before = self.values[far] + widths * (1 - 1 / self.counts[far])
        after = self.values[far + 1] - widths * (1 - 1 / self.counts[far + 1])
        shares = np.concatenate([self.places, between - single, between + single])
        order = np.argsort(shares, kind="stable")
        # The shares of single values are equal, but for rounding.
        quantiles = np.maximum.accumulate(np.concatenate([self.values, before, after])[order])
        return shares[order], quantiles

    def quantile(self, share: float) -> float:
        """The quantile at ``share``, from 0 to 1."""
        return float(self.quantiles(share))

    @property
    def median(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @cached_property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile."""
        low, high = self.quantiles([0.25, 0.75]).tolist()
        return low, high

    @property
    def mad(self) -> float:
        """The median distance from the median, unscaled: 0.67 standard deviations for a normal distribution."""
        return Distribution.of(np.abs(self.values - self.median), self.counts, self.step).median

    @property
    def variance(self) -> float:
        """The mean square distance from the mean."""
        return float((self.values - self.mean) ** 2 @ self.counts) / self.count

    def moved(self, by: float) -> Distribution:
        """The distribution with every value increased by ``by``."""
        return Distribution(self.values + by, self.counts, self.step)

    def beyond(self, low: float, high: float) -> int:
        """The number of values that are less than ``low`` or greater than ``high``."""
        return int(self.counts[(self.values < low) | (self.values > high)].sum())

    def histogram(self, edges: Floats) -> Ints:
        """The number of values in each interval between two consecutive ``edges``. Values on the last edge are counted
        in the last interval."""
        return np.histogram(self.values, edges, weights=self.counts)[0].astype(np.int64)


def is_gap(differences: Floats, step: float) -> NDArray[np.bool_]:
    """A mask of the ``differences`` of neighbouring values that are too large to be a single ``step`` of the clock."""
    return differences > 1.5 * step


class Tally:
    """Counts pairs of a duration, in steps of the clock, and the number of events within the duration."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 2), np.int64)
        self._counts = np.empty(0, np.int64)
        self._waiting: list[Ints] = []
        self._pending = 0

    def add(self, durations: Ints, events: Ints) -> None:
        """Count pairs. ``durations`` and ``events`` have the same length, which may be 0."""
        if not len(durations):
            return
        self._waiting.append(np.column_stack([events, durations]))
        self._pending += len(durations)
        if self._pending >= _PENDING:
            self._settle()

    def pairs(self) -> tuple[Ints, Ints, Ints]:
        """The distinct pairs of a duration and a number of events, and the number of times that each occurred."""
        self._settle()
        return self._rows[:, 1], self._rows[:, 0], self._counts

    def _settle(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate([self._rows, *self._waiting])
        counts = np.concatenate([self._counts, np.ones(self._pending, np.int64)])
        self._waiting, self._pending = [], 0
        codes = codes_of(rows[:, 0], rows[:, 1])
        order = in_order(codes)
        starts = starts_of(codes[order])
        self._rows = rows[order[starts]]
        self._counts = np.add.reduceat(counts[order], starts)
