"""Whether spans got slower: two sets of runs compared name by name.

The unit of comparison is the run. Runs differ in memory layout, frequency, other programs and so on, which all spans of
a run share. So thousands of spans of one run are one sample, and two single runs permit no verdict. The logarithms of
the medians of the runs of A and B are compared by a permutation test (`htrun.analysis.timing.permutation`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from htrun.analysis.timing.distribution import Distribution
from htrun.analysis.timing.inference import CONFIDENCE, Interval
from htrun.analysis.timing.permutation import Shift, can_reject, fewest_runs, shift
from htrun.analysis.timing.power import runs_needed, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.analysis.timing.figures import Figures

_NORMAL = 1.96
"""Half the width of a 95% interval in standard errors."""
_MOST_LOGARITHM = 700.0
DIFFERENCE = 0.05
"""The difference for which `Comparison.needed` is computed unless another one is of interest."""


class Verdict(Enum):
    """The change of spans from A to B."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    NONE = "no verdict"
    """One side has a single run."""


@dataclass(frozen=True)
class Run:
    """The spans of one name in one run: their median with its interval, in ns, and their ``count``.

    ``reach``: the possible error of all durations due to the code around the events, which is taken to be the same in
    all runs.
    """

    median: Interval
    count: int
    resolved: bool = True
    reach: float = 0.0

    @classmethod
    def of(cls, figures: Figures) -> Run:
        """The run whose spans have these ``figures``."""
        return cls(figures.median, figures.distribution.count, figures.resolved, figures.reach)


@dataclass(frozen=True)
class Ratio:
    """B's time divided by A's, with its 95% interval, corrected for the number of names: 0 and infinity if the runs are
    too few to bound it."""

    value: float
    low: float
    high: float

    @property
    def is_bounded(self) -> bool:
        """Whether there are enough runs for a finite interval."""
        return self.low > 0 and math.isfinite(self.high)

    @classmethod
    def of(cls, logarithms: Shift) -> Ratio:
        """The ratio whose logarithm is ``logarithms``."""
        return cls(_exp(logarithms.value), _exp(logarithms.low), _exp(logarithms.high))


@dataclass(frozen=True)
class Needed:
    """``runs`` on each side find a change by ``difference`` (0.05: 5%) in 90% of all cases.

    ``guessed``: whether the spread between runs had to be assumed (`htrun.analysis.timing.power.GUESSED_SPREAD`).
    """

    runs: int
    difference: float
    guessed: bool


@dataclass(frozen=True)
class Comparison:
    """The spans of one name in A and B. ``medians``: the `middle` of each. ``ratio``: None if a median is below the
    clock's resolution. ``probability``: the probability of a ratio at least this different from 1 if A and B are the
    same, corrected for the number of names (Bonferroni); None with one run on a side. It is at most 0.05 if and only if
    the ratio's interval excludes 1. ``needed``: None if there is no ratio.
    """

    name: str
    medians: tuple[float, float]
    runs: tuple[int, int]
    counts: tuple[int, int]
    ratio: Ratio | None
    probability: float | None
    verdict: Verdict
    needed: Needed | None = None


def compare(
    one: Mapping[str, Sequence[Run]],
    other: Mapping[str, Sequence[Run]],
    threshold: float,
    *,
    difference: float = DIFFERENCE,
    looks: int = 1,
) -> list[Comparison]:
    """The names that both sides have. ``threshold``: ratios that differ from 1 by less count as the same (0.01: 1%).
    ``difference``: the difference for which `Comparison.needed` is computed. ``looks``: the number of comparisons of
    the two sides while runs are added. Stopping at the first verdict makes false alarms more likely, for which this
    corrects."""
    names = [name for name in one if name in other]
    tries = max(len(names), 1) * looks
    return [_comparison(name, one[name], other[name], threshold, difference, tries) for name in names]


def _comparison(
    name: str, one: Sequence[Run], other: Sequence[Run], threshold: float, difference: float, tries: int
) -> Comparison:
    level = (1 - CONFIDENCE) / tries
    found = _shift(one, other, level)
    single = min(len(one), len(other)) == 1
    probability = None if found is None or single else min(found.probability * tries, 1.0)
    ratio = None if found is None else Ratio.of(found)
    counts = (sum(run.count for run in one), sum(run.count for run in other))
    return Comparison(
        name,
        (middle(one), middle(other)),
        (len(one), len(other)),
        counts,
        ratio,
        probability,
        Verdict.NONE if single else verdict(ratio, probability, threshold),
        None if ratio is None else _needed(one, other, difference, level),
    )


def ratio_of(one: Sequence[Run], other: Sequence[Run]) -> Ratio | None:
    """The ratio of the runs' medians; None if meaningless.

    The interval allows for the time that the code around the events may add to all durations, or subtract from all.
    """
    found = _shift(one, other, 1 - CONFIDENCE)
    return None if found is None else Ratio.of(found)


def _shift(one: Sequence[Run], other: Sequence[Run], level: float) -> Shift | None:
    """The difference of the logarithms of the medians; None if a median is too uncertain to have a logarithm."""
    if not _has_ratio(one, other):
        return None
    signs = (0, 1, -1) if any(run.reach for run in (*one, *other)) else (0,)
    by_runs = [_shift_by_runs(one, other, level, sign) for sign in signs]
    value = by_runs[0].value
    # A few runs may by chance agree better than the spread of their spans permits, so that spread counts as well.
    found = [*by_runs, _shift_by_spans(value, one, other, level)]
    return Shift(
        value,
        min(each.low for each in found),
        max(each.high for each in found),
        max(each.probability for each in found),
    )


def _has_ratio(one: Sequence[Run], other: Sequence[Run]) -> bool:
    """Whether all medians are certain enough to divide them."""
    return all(run.resolved and run.median.value > run.reach for run in (*one, *other))


def _shift_by_runs(one: Sequence[Run], other: Sequence[Run], level: float, sign: int) -> Shift:
    """The shift of the runs' medians, each lowered or raised by its `Run.reach`, depending on ``sign``."""
    first, second = ([math.log(run.median.value + sign * run.reach) for run in side] for side in (one, other))
    return _shift_of(first, second, level)


def _shift_of(first: Sequence[float], second: Sequence[float], level: float) -> Shift:
    """The shift from ``first`` to ``second``, which have a value for each run; unbounded with one run on a side."""
    if min(len(first), len(second)) == 1:
        return Shift(sum(second) / len(second) - sum(first) / len(first), -math.inf, math.inf, 1.0)
    return shift(first, second, level)


def _shift_by_spans(value: float, one: Sequence[Run], other: Sequence[Run], level: float) -> Shift:
    """The shift ``value`` with the interval that follows from the intervals of the runs' medians, as if all runs were
    the same."""
    from scipy.stats import norm

    error = math.sqrt(sum(_variance_within(side) / len(side) for side in (one, other)))
    if error == 0:
        return Shift(value, value, value, 0.0 if value else 1.0)
    reach = float(norm.isf(level / 2)) * error
    return Shift(value, value - reach, value + reach, float(2 * norm.sf(abs(value) / error)))


def _variance_within(runs: Sequence[Run]) -> float:
    """The variance that the logarithms of the medians would have if all runs were the same: the mean of their
    variances."""
    return sum(_within(run) ** 2 for run in runs) / len(runs)


def _within(run: Run) -> float:
    """The standard error of the logarithm of a run's median."""
    return (run.median.high - run.median.low) / 2 / _NORMAL / run.median.value


def _needed(one: Sequence[Run], other: Sequence[Run], difference: float, level: float) -> Needed:
    sides = [[math.log(run.median.value) for run in side] for side in (one, other)]
    within = math.sqrt(max(_variance_within(side) for side in (one, other)))
    deviation, guessed = spread(sides, within)
    return Needed(runs_needed(deviation, abs(math.log1p(difference)), level), difference, guessed)


def _exp(logarithm: float) -> float:
    """A ratio from its logarithm. With a few very different spans the interval may exceed any float."""
    if logarithm == math.inf:
        return math.inf
    return math.exp(min(logarithm, _MOST_LOGARITHM))


def middle(runs: Sequence[Run]) -> float:
    """The geometric mean of the runs' medians, whose ratio `ratio_of` returns; their median if one has no logarithm."""
    medians = [run.median.value for run in runs]
    if len(medians) == 1 or min(medians) <= 0:
        return Distribution.of(medians).median
    return math.exp(sum(map(math.log, medians)) / len(medians))


def fewest(runs: tuple[int, int], tries: int) -> int | None:
    """The number of runs on each side that permits a verdict, if ``runs`` do not.

    ``tries``: the number of names compared, multiplied by the number of comparisons.
    """
    level = (1 - CONFIDENCE) / tries
    return None if can_reject(*runs, level) else fewest_runs(level)


def verdict(ratio: Ratio | None, probability: float | None, threshold: float) -> Verdict:
    """Slower or faster if the test rejects equality (if and only if the interval excludes 1) and the change is at least
    the threshold; the same if the whole interval is within the threshold."""
    if ratio is None:
        return Verdict.INCONCLUSIVE
    if 1 / (1 + threshold) <= ratio.low and ratio.high <= 1 + threshold:
        return Verdict.SAME
    if probability is None or probability > 1 - CONFIDENCE:
        return Verdict.INCONCLUSIVE
    if ratio.value >= 1 + threshold:
        return Verdict.SLOWER
    return Verdict.FASTER if ratio.value <= 1 / (1 + threshold) else Verdict.INCONCLUSIVE


def geometric_mean(one: Mapping[str, Sequence[Run]], other: Mapping[str, Sequence[Run]]) -> Ratio | None:
    """The geometric mean of the ratios of all names that both sides have, with its interval, by the mean logarithm of
    each run. None if a run lacks one of the names, or if a ratio has no meaning."""
    names = [name for name in one if name in other]
    if not all(_has_ratio(one[name], other[name]) for name in names):
        return None
    first, second = (_means(side, names) for side in (one, other))
    if not first or not second:
        return None
    return Ratio.of(_shift_of(first, second, 1 - CONFIDENCE))


def _means(side: Mapping[str, Sequence[Run]], names: Sequence[str]) -> list[float]:
    """The mean logarithm of the medians of ``names`` in each run; empty if not every run has all of them."""
    if len({len(side[name]) for name in names}) != 1:
        return []
    runs = zip(*(side[name] for name in names), strict=True)
    return [sum(math.log(each.median.value) for each in run) / len(names) for run in runs]
