"""Whether spans got slower: two sets of runs compared name by name.

The interval of the ratio of medians has two levels: runs differ from each other (different memory layout, other
programs running), and spans differ within a run. With a single run on each side, only the latter is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.distribution import Distribution
from htrun.analysis.timing.inference import CONFIDENCE, Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NORMAL = 1.96
"""Half the width of a 95% interval in standard errors."""
_MOST_LOGARITHM = 700.0
RUNS_FOR_RANKS = 5
"""With at least this many runs on each side, the medians of runs are ranked; with fewer, the spans themselves."""


class Verdict(Enum):
    """How spans changed from A to B."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Run:
    """The spans of one name in one run: their median with its interval, and all of them, in ns. ``reach``: how much all
    may be off because of the code around the events, which is taken to be the same in all runs."""

    median: Interval
    distribution: Distribution
    resolved: bool = True
    reach: float = 0.0


@dataclass(frozen=True)
class Ratio:
    """B's time divided by A's, with its 95% interval. ``error``: the standard error of its logarithm."""

    value: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class Comparison:
    """The spans of one name in A and B. ``medians``: the `middle` of each. ``probability``: of ranks at least this
    different if A and B are the same (Mann and Whitney), corrected for the number of names (Holm). ``ratio``: None if a
    median is below the clock's resolution.
    """

    name: str
    medians: tuple[float, float]
    runs: tuple[int, int]
    counts: tuple[int, int]
    ratio: Ratio | None
    probability: float
    verdict: Verdict


def compare(one: Mapping[str, Sequence[Run]], other: Mapping[str, Sequence[Run]], threshold: float) -> list[Comparison]:
    """The names that both sides have. ``threshold``: ratios that differ from 1 by less count as the same (0.01: 1%)."""
    names = [name for name in one if name in other]
    probabilities = corrected([rank_probability(one[name], other[name]) for name in names])
    return [
        _comparison(name, one[name], other[name], probability, threshold)
        for name, probability in zip(names, probabilities, strict=True)
    ]


def _comparison(
    name: str, one: Sequence[Run], other: Sequence[Run], probability: float, threshold: float
) -> Comparison:
    ratio = ratio_of(one, other)
    counts = (sum(run.distribution.count for run in one), sum(run.distribution.count for run in other))
    return Comparison(
        name,
        (middle(one), middle(other)),
        (len(one), len(other)),
        counts,
        ratio,
        probability,
        verdict(ratio, probability, threshold),
    )


def ratio_of(one: Sequence[Run], other: Sequence[Run]) -> Ratio | None:
    """The ratio of the runs' medians, by Student's distribution with Welch's degrees of freedom; None if meaningless.

    The interval allows for what the code around the events may add to all durations, or subtract from all.
    """
    if not all(run.resolved and run.median.value > run.reach for run in (*one, *other)):
        return None
    if any(len(side) == 1 and side[0].distribution.count == 1 for side in (one, other)):
        return None
    reach = _reach(_level(one), _level(other))
    logarithm = _logarithm(one, other, 0)
    shifted = [_logarithm(one, other, sign) for sign in (0, 1, -1)]
    low, high = min(shifted) - reach, max(shifted) + reach
    return Ratio(_exp(logarithm), _exp(low), _exp(high), (high - low) / 2 / _NORMAL)


def _reach(first: _Level, second: _Level) -> float:
    """Half the 95% interval of the difference of two levels."""
    from scipy.stats import t

    variance = first.variance + second.variance
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(side.variance**2 / side.freedom for side in (first, second))
    return float(t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(variance)


def _logarithm(one: Sequence[Run], other: Sequence[Run], sign: int) -> float:
    """The ratio of the runs' medians after each was lowered or raised by its `Run.reach`, depending on ``sign``."""
    means = [sum(math.log(run.median.value + sign * run.reach) for run in side) / len(side) for side in (one, other)]
    return means[1] - means[0]


def _exp(logarithm: float) -> float:
    """A ratio from its logarithm. With a few very different spans the interval may exceed any float."""
    return math.exp(min(logarithm, _MOST_LOGARITHM))


@dataclass(frozen=True)
class _Level:
    """One side: the mean of the logarithms of its runs' medians, the variance of that mean, and its degrees of
    freedom."""

    mean: float
    variance: float
    freedom: float


def _level(runs: Sequence[Run]) -> _Level:
    logarithms = [math.log(run.median.value) for run in runs]
    mean = sum(logarithms) / len(runs)
    # How far the medians would differ if all runs were the same.
    within = sum(_within(run) ** 2 for run in runs) / len(runs)
    if len(runs) == 1:
        return _Level(mean, within, max(runs[0].distribution.count - 1, 1))
    between = sum((each - mean) ** 2 for each in logarithms) / (len(runs) - 1)
    # A few runs may happen to agree better than their spans permit.
    return _Level(mean, max(within, between) / len(runs), len(runs) - 1)


def _within(run: Run) -> float:
    """The standard error of the logarithm of a run's median."""
    return (run.median.high - run.median.low) / 2 / _NORMAL / run.median.value


def middle(runs: Sequence[Run]) -> float:
    """The geometric mean of the runs' medians, whose ratio `ratio_of` returns; their median if one has no logarithm."""
    medians = [run.median.value for run in runs]
    if len(medians) == 1 or min(medians) <= 0:
        return Distribution.of(medians).median
    return math.exp(sum(map(math.log, medians)) / len(medians))


def rank_probability(one: Sequence[Run], other: Sequence[Run]) -> float:
    """The two-sided probability, from the runs' medians if there are enough, else from all spans."""
    from scipy.stats import mannwhitneyu

    if min(len(one), len(other)) >= RUNS_FOR_RANKS:
        medians = [[run.median.value for run in side] for side in (one, other)]
        return float(mannwhitneyu(*medians, alternative="two-sided").pvalue)
    return mann_whitney(*(Distribution.together(run.distribution for run in side) for side in (one, other)))


def mann_whitney(one: Distribution, other: Distribution) -> float:
    """The two-sided probability by the normal approximation with correction for ties; the same as scipy's, but from
    counts instead of values."""
    from scipy.stats import norm

    values = np.union1d(one.values, other.values)
    first, second = (np.zeros(len(values), np.float64) for _ in range(2))
    first[np.searchsorted(values, one.values)] = one.counts
    second[np.searchsorted(values, other.values)] = other.counts
    wins = float(first @ (np.cumsum(second) - second / 2))
    n, m = float(one.count), float(other.count)
    total = n + m
    ties = first + second
    variance = n * m / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    distance = max(abs(wins - n * m / 2) - 0.5, 0.0)
    return float(min(2 * norm.sf(distance / math.sqrt(variance)), 1.0))


def corrected(probabilities: Sequence[float]) -> list[float]:
    """``probabilities`` adjusted for the number of comparisons (Holm 1979)."""
    order = sorted(range(len(probabilities)), key=lambda place: probabilities[place])
    adjusted = [1.0] * len(probabilities)
    most = 0.0
    for rank, place in enumerate(order):
        most = max(most, min((len(probabilities) - rank) * probabilities[place], 1.0))
        adjusted[place] = most
    return adjusted


def verdict(ratio: Ratio | None, probability: float, threshold: float) -> Verdict:
    """Slower or faster if interval and ranks agree and the change is at least the threshold; the same if the whole
    interval is within the threshold."""
    if ratio is None:
        return Verdict.INCONCLUSIVE
    if 1 / (1 + threshold) <= ratio.low and ratio.high <= 1 + threshold:
        return Verdict.SAME
    certain = probability < 1 - CONFIDENCE
    if certain and ratio.low > 1 and ratio.value >= 1 + threshold:
        return Verdict.SLOWER
    if certain and ratio.high < 1 and ratio.value <= 1 / (1 + threshold):
        return Verdict.FASTER
    return Verdict.INCONCLUSIVE


def geometric_mean(comparisons: Sequence[Comparison]) -> Ratio | None:
    """The geometric mean of all ratios; None if there are none."""
    ratios = [each.ratio for each in comparisons if each.ratio is not None]
    if not ratios:
        return None
    mean = sum(math.log(ratio.value) for ratio in ratios) / len(ratios)
    error = math.sqrt(sum(ratio.error**2 for ratio in ratios)) / len(ratios)
    reach = _NORMAL * error
    return Ratio(_exp(mean), _exp(mean - reach), _exp(mean + reach), error)
