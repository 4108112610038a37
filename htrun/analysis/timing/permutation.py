"""Whether two small groups of values differ, by exchanging values between them: an exact test, and its interval.

If A and B are the same, each way to distribute their values over the two was as likely. So the probability of a
difference of means as large as the one observed is the share of the ways that have one (Fisher 1935). Nothing is
assumed of the distribution of the values. The interval holds every shift of B that this test does not reject, so the
two can never contradict each other.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Booleans = NDArray[np.bool_]
    Floats = NDArray[np.float64]

_MOST_EXCHANGES = 200_000
"""With more ways than that, so many are drawn: 10 runs of each have 184,756."""
_ROUNDING = 1e-13
_SEED = 1
"""A fixed seed: the same runs always have the same figures."""


@dataclass(frozen=True)
class Shift:
    """By how much the mean of B exceeds that of A. ``low``, ``high``: the ends of the interval, infinite if the values
    are too few to bound it. ``probability``: of a difference at least as large if A and B are the same (two-sided)."""

    value: float
    low: float
    high: float
    probability: float


def shift(one: Sequence[float], other: Sequence[float], level: float) -> Shift:
    """How ``other`` differs from ``one``. The interval includes the truth with probability 1 - ``level`` or more; it
    excludes 0 exactly if the probability is at most ``level``."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    value = float(second.mean() - first.mean())
    # If B is shifted back by `limit`, an exchange leaves the difference of means as it is: then the mean of the values
    # that leave B is that of the values that enter it.
    limits = _exchanges(len(first), len(second)) @ np.concatenate([first, second])
    # Sums of the same values in another order may differ in the last bit.
    limits[np.abs(limits) <= _ROUNDING * max(np.abs(first).max(), np.abs(second).max())] = 0
    ways = len(limits) + 1
    extreme = 1 + min(np.count_nonzero(limits <= 0), np.count_nonzero(limits >= 0))
    excluded = math.floor(level * ways / 2 + 1e-9)
    low, high = -math.inf, math.inf
    if excluded:
        ends = np.partition(limits, [excluded - 1, ways - 1 - excluded])
        low, high = float(ends[excluded - 1]), float(ends[ways - 1 - excluded])
    return Shift(value, low, high, min(2 * extreme / ways, 1.0))


def can_reject(first: int, second: int, level: float) -> bool:
    """Whether groups of so many values can have a probability of ``level`` or less at all."""
    return level * math.comb(first + second, first) >= 2


def fewest_runs(level: float) -> int:
    """How many values two groups of the same size need for that."""
    return next(count for count in itertools.count(2) if can_reject(count, count, level))


@functools.lru_cache(maxsize=2)
def _exchanges(first: int, second: int) -> Floats:
    """The ways to exchange values of A and B, except the one that exchanges none. One row each, with a column for each
    value, those of A first. Multiplied by the values it is the mean of those that leave B less that of those that leave
    A. 10 runs of each need 30 MB."""
    chosen = _choices(first, second)
    counts = chosen[:, first:].sum(axis=1, keepdims=True)
    exchanges: Floats = np.concatenate([chosen[:, :first] - 1.0, chosen[:, first:]], axis=1) / counts
    return exchanges


def _choices(first: int, second: int) -> Booleans:
    """Ways to choose which of all values belong to A, except the observed one; true stands for A."""
    total = first + second
    ways = math.comb(total, first)
    if ways <= _MOST_EXCHANGES:
        chosen = np.zeros((ways, total), np.bool_)
        places = np.fromiter(itertools.chain.from_iterable(itertools.combinations(range(total), first)), np.intp)
        chosen[np.repeat(np.arange(ways), first), places] = True
        # The first combination is the observed one.
        return chosen[1:]
    generator = np.random.default_rng(_SEED)
    order = generator.random((_MOST_EXCHANGES, total)).argsort(axis=1)
    chosen = order < first
    # One that is drawn by chance and exchanges nothing counts like the observed one.
    observed = chosen[:, :first].all(axis=1)
    return chosen[~observed]
