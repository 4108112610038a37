"""Durations as a distribution: the different values there are and how often each came.

The clock counts in steps, so there are few different values however many spans: everything that is told of them is
exact, in memory that hardly grows with the trace.

Quantiles are those of the *mid-distribution* (Ma, Genton, Parzen: Asymptotic properties of sample quantiles of discrete
distributions, 2011): half of a value's share lies before it, half behind, and between values there are straight lines.
A duration of 2.3 steps is counted as 2 in seven of ten cases and as 3 in three; its median so is 2.3, where the usual
one would be 2. Of values that are all different they are the usual quantiles (Hazen's).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_PENDING = 1 << 17
"""Values a `Tally` holds before it counts them."""


@dataclass(frozen=True)
class Distribution:
    """``values``: all different, from the least to the greatest; ``counts``: how often each came. Not empty."""

    values: Floats
    counts: Ints

    @classmethod
    def of(cls, values: Any, counts: Any = None) -> Distribution:
        """Of any ``values``, each as often as ``counts`` says (once, without)."""
        values = np.asarray(values, np.float64)
        counts = np.ones(len(values), np.int64) if counts is None else np.asarray(counts, np.int64)
        different, places = np.unique(values, return_inverse=True)
        return cls(different, np.bincount(places, counts).astype(np.int64))

    @classmethod
    def together(cls, parts: Iterable[Distribution]) -> Distribution:
        """All of ``parts``, at least one."""
        some = list(parts)
        if len(some) == 1:
            return some[0]
        return cls.of(np.concatenate([part.values for part in some]), np.concatenate([part.counts for part in some]))

    @cached_property
    def count(self) -> int:
        """How many values."""
        return int(self.counts.sum())

    @cached_property
    def total(self) -> float:
        """Their sum."""
        return float(self.values @ self.counts)

    @property
    def mean(self) -> float:
        """Their mean."""
        return self.total / self.count

    @cached_property
    def places(self) -> Floats:
        """The share of all that lies before the middle of each value."""
        places: Floats = (np.cumsum(self.counts) - self.counts / 2) / self.count
        return places

    def quantiles(self, shares: Any) -> Floats:
        """The quantiles at ``shares``, each 0 to 1."""
        quantiles: Floats = np.interp(shares, self.places, self.values)
        return quantiles

    def quantile(self, share: float) -> float:
        """One quantile."""
        return float(self.quantiles(share))

    @property
    def median(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @cached_property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third."""
        low, high = self.quantiles([0.25, 0.75]).tolist()
        return low, high

    @property
    def mad(self) -> float:
        """The median distance from the median, as it is: for what is normal, 0.67 standard deviations."""
        return Distribution.of(np.abs(self.values - self.median), self.counts).median

    @property
    def variance(self) -> float:
        """The mean square distance from the mean."""
        return float((self.values - self.mean) ** 2 @ self.counts) / self.count

    def moved(self, by: float) -> Distribution:
        """Every value ``by`` so much greater."""
        return Distribution(self.values + by, self.counts)

    def beyond(self, low: float, high: float) -> int:
        """How many values are less than ``low`` or greater than ``high``."""
        return int(self.counts[(self.values < low) | (self.values > high)].sum())

    def histogram(self, edges: Floats) -> Ints:
        """How many values lie between each of ``edges`` and the next; the last edge belongs to what is before it."""
        return np.histogram(self.values, edges, weights=self.counts)[0].astype(np.int64)


class Tally:
    """Counts pairs of a duration, in steps of the clock, and a number of events within it."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 2), np.int64)
        self._counts = np.empty(0, np.int64)
        self._waiting: list[Ints] = []
        self._pending = 0

    def add(self, durations: Ints, events: Ints) -> None:
        """Count some, or none."""
        if not len(durations):
            return
        self._waiting.append(np.column_stack([events, durations]))
        self._pending += len(durations)
        if self._pending >= _PENDING:
            self._settle()

    def pairs(self) -> tuple[Ints, Ints, Ints]:
        """The different durations and numbers of events, and how often each pair came."""
        self._settle()
        return self._rows[:, 1], self._rows[:, 0], self._counts

    def _settle(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate([self._rows, *self._waiting])
        counts = np.concatenate([self._counts, np.ones(self._pending, np.int64)])
        self._waiting, self._pending = [], 0
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        rows, counts = rows[order], counts[order]
        first = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])
        self._rows = rows[first]
        self._counts = np.add.reduceat(counts, np.flatnonzero(first))
