"""Compares two sets of runs, A and B, name by name: did the spans get slower?

The unit of comparison is the run. Runs differ in memory layout, frequency, other programs, and so on. All spans of a
run share these conditions, so even thousands of spans of one run are only one sample, and a single run on each side
permits no verdict. A permutation test (`htrun.analysis.timing.permutation`) compares the logarithms of the medians of
the runs. If the runs were made in a random order, it exchanges only runs whose order was random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from htrun.analysis.timing.blocks import can_reject, common_blocks, fewest_runs, sizes_in
from htrun.analysis.timing.distribution import Distribution
from htrun.analysis.timing.inference import CONFIDENCE, Interval
from htrun.analysis.timing.permutation import Shift, shift
from htrun.analysis.timing.power import runs_needed, spread
from htrun.analysis.timing.probability import normal_above, normal_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.analysis.timing.figures import Figures

_NORMAL = 1.96
"""Half the width of a 95% interval, in standard errors."""
_MOST_LOGARITHM = 700.0
DIFFERENCE = 0.05
"""The default difference for which `Comparison.needed` is computed."""


class Verdict(Enum):
    """The change of spans from A to B."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    NONE = "no verdict"
    """There is only one run on a side."""


@dataclass(frozen=True)
class Run:
    """The spans of one name in one run.

    ``median``: the median of their durations with its interval, in ns. ``count``: the number of spans. ``resolved``:
    see `Figures`. ``reach``: the error that all durations may have because of the code around the events. This error
    is assumed to be the same in all runs. ``apart``: the difference of the logarithms of the two modes between which
    the medians of similar runs may change (`Figures.modes_at_median`), 0 without such modes. ``block``: the name of the
    block in which the order of this run was random (`htrun.analysis.timing.run_order`); empty if it is not known.
    """

    median: Interval
    count: int
    resolved: bool = True
    reach: float = 0.0
    apart: float = 0.0
    block: str = ""

    @classmethod
    def of(cls, figures: Figures, block: str = "") -> Run:
        """The run in this ``block`` whose spans have these ``figures``."""
        low, high = figures.modes_at_median or (1.0, 1.0)
        apart = math.log(high / low) if low > 0 else 0.0
        return cls(figures.median, figures.distribution.count, figures.resolved, figures.reach, apart, block)


@dataclass(frozen=True)
class Ratio:
    """The time of B divided by the time of A, with its 95% interval, which is corrected for the number of names. The
    ends of the interval are 0 and infinity if there are too few runs to bound it."""

    value: float
    low: float
    high: float

    @property
    def is_bounded(self) -> bool:
        """Whether there are enough runs for a finite interval."""
        return self.low > 0 and math.isfinite(self.high)

    @classmethod
    def of(cls, logarithms: Shift) -> Ratio:
        """The ratio and interval whose logarithms are ``logarithms``."""
        return cls(_exp(logarithms.value), _exp(logarithms.low), _exp(logarithms.high))


@dataclass(frozen=True)
class Needed:
    """The number of ``runs`` needed on each side to find a change by ``difference`` (0.05: 5%) in 90% of all cases.

    ``guessed``: whether the spread between runs had to be assumed (`htrun.analysis.timing.power.GUESSED_SPREAD`).
    """

    runs: int
    difference: float
    guessed: bool


@dataclass(frozen=True)
class Comparison:
    """The comparison of the spans of one name in A and B.

    ``medians``: the `middle` of the runs of each side.
    ``runs``, ``counts``: the numbers of runs and of spans of each side.
    ``ratio``: the ratio of B to A; None if a median is below the clock's resolution.
    ``probability``: the probability of a ratio at least this different from 1 if A and B are the same, corrected for
    the number of names (Bonferroni). It is at most 0.05 if and only if the interval of ``ratio`` excludes 1. None if a
    side has only one run.
    ``needed``: the number of runs needed for a verdict; None if there is no ratio.
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
    """Compare the names that both sides have.

    ``threshold``: the minimum change (0.01: 1%); spans with a smaller change count as the same.
    ``difference``: the difference for which `Comparison.needed` is computed.
    ``looks``: the number of times that the two sides are compared while runs are added. Stopping at the first verdict
    makes false alarms more likely; the results are corrected for this.
    """
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
    """The ratio of the runs' medians; None if a median is too uncertain for a ratio.

    The interval includes the effect of the code around the events, which may lengthen or shorten all durations.
    """
    found = _shift(one, other, 1 - CONFIDENCE)
    return None if found is None else Ratio.of(found)


def _shift(one: Sequence[Run], other: Sequence[Run], level: float) -> Shift | None:
    """The difference of the logarithms of the medians; None if a median is too uncertain for a logarithm."""
    if not _has_ratio(one, other):
        return None
    signs = (0, 1, -1) if any(run.reach for run in (*one, *other)) else (0,)
    by_runs = [_shift_by_runs(one, other, level, sign) for sign in signs]
    value = by_runs[0].value
    # A few runs may happen to agree better than the spread of their spans permits, so this spread is also considered.
    found = [*by_runs, _shift_by_spans(value, one, other, level)]
    return Shift(
        value,
        min(each.low for each in found),
        max(each.high for each in found),
        max(each.probability for each in found),
    )


def _has_ratio(one: Sequence[Run], other: Sequence[Run]) -> bool:
    """Whether all medians are certain enough for a ratio."""
    return all(run.resolved and run.median.value > run.reach for run in (*one, *other))


def _shift_by_runs(one: Sequence[Run], other: Sequence[Run], level: float, sign: int) -> Shift:
    """The shift of the logarithms of the runs' medians. Each median is first raised by ``sign`` times its
    `Run.reach`."""
    first, second = ([math.log(run.median.value + sign * run.reach) for run in side] for side in (one, other))
    return _shift_of(first, second, level, _blocks(one, other))


def _blocks(one: Sequence[Run], other: Sequence[Run]) -> tuple[list[int], list[int]]:
    """The index of the block of each run."""
    return common_blocks([run.block for run in one], [run.block for run in other])


def _shift_of(
    first: Sequence[float], second: Sequence[float], level: float, blocks: tuple[list[int], list[int]]
) -> Shift:
    """The shift from ``first`` to ``second``, which contain a value for each run. It is unbounded if a side has only
    one run."""
    if min(len(first), len(second)) == 1:
        return Shift(sum(second) / len(second) - sum(first) / len(first), -math.inf, math.inf, 1.0)
    return shift(first, second, level, blocks)


def _shift_by_spans(value: float, one: Sequence[Run], other: Sequence[Run], level: float) -> Shift:
    """The shift ``value`` with the interval that results from the intervals of the runs' medians if all runs of a side
    are assumed to be the same."""
    error = math.sqrt(sum(_variance_within(side) / len(side) for side in (one, other)))
    if error == 0:
        return Shift(value, value, value, 0.0 if value else 1.0)
    reach = -normal_quantile(level / 2) * error
    return Shift(value, value - reach, value + reach, 2 * normal_above(abs(value) / error))


def _variance_within(runs: Sequence[Run]) -> float:
    """The variance of the logarithms of the medians if all ``runs`` are assumed to be the same: the mean of the
    variances of single runs."""
    return sum(_within(run) ** 2 for run in runs) / len(runs)


def _within(run: Run) -> float:
    """The standard error of the logarithm of a run's median."""
    return (run.median.high - run.median.low) / 2 / _NORMAL / run.median.value


def _needed(one: Sequence[Run], other: Sequence[Run], difference: float, level: float) -> Needed:
    groups: dict[tuple[int, int], list[float]] = {}
    for side, (runs, blocks) in enumerate(zip((one, other), _blocks(one, other), strict=True)):
        for run, block in zip(runs, blocks, strict=True):
            groups.setdefault((side, block), []).append(math.log(run.median.value))
    within = math.sqrt(max(_variance_within(side) for side in (one, other)))
    deviation, guessed = spread([*groups.values()], within, max(run.apart for run in (*one, *other)))
    return Needed(runs_needed(deviation, abs(math.log1p(difference)), level), difference, guessed)


def _exp(logarithm: float) -> float:
    """The ratio with this ``logarithm``, limited to the range of floats. The interval of a few very different spans may
    exceed this range."""
    if logarithm == math.inf:
        return math.inf
    return math.exp(min(logarithm, _MOST_LOGARITHM))


def middle(runs: Sequence[Run]) -> float:
    """The geometric mean of the runs' medians, or the median of these medians if one has no logarithm. `ratio_of`
    returns the ratio of two geometric means."""
    medians = [run.median.value for run in runs]
    if len(medians) == 1 or min(medians) <= 0:
        return Distribution.of(medians).median
    return math.exp(sum(map(math.log, medians)) / len(medians))


def fewest(one: Sequence[Run], other: Sequence[Run], tries: int) -> int | None:
    """The minimum number of runs on each side that permits a verdict. None if the runs ``one`` and ``other`` already
    permit a verdict.

    ``tries``: the number of names compared, multiplied by the number of comparisons.
    """
    level = (1 - CONFIDENCE) / tries
    return None if can_reject(sizes_in(*_blocks(one, other)), level) else fewest_runs(level)


def verdict(ratio: Ratio | None, probability: float | None, threshold: float) -> Verdict:
    """The verdict on ``ratio``.

    Slower or faster if the test rejects equality (if and only if the interval excludes 1) and the change is at least
    ``threshold``; the same if the whole interval is within ``threshold``.
    """
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
    """The geometric mean of the ratios of all names that both sides have, with its interval. It is computed from the
    mean logarithm of each run. None if a run lacks one of the names, or if a median is too uncertain for a ratio."""
    names = [name for name in one if name in other]
    if not all(_has_ratio(one[name], other[name]) for name in names):
        return None
    first, second = (_means(side, names) for side in (one, other))
    if not first or not second:
        return None
    return Ratio.of(_shift_of(first, second, 1 - CONFIDENCE, _blocks(one[names[0]], other[names[0]])))


def _means(side: Mapping[str, Sequence[Run]], names: Sequence[str]) -> list[float]:
    """The mean logarithm of the medians of ``names`` in each run; empty if a run lacks one of the names."""
    if len({len(side[name]) for name in names}) != 1:
        return []
    runs = zip(*(side[name] for name in names), strict=True)
    return [sum(math.log(each.median.value) for each in run) / len(names) for run in runs]
