"""Comparisons of a program with itself: a difference that they find is a false alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy import stats

from htrun.analysis.timing.blocks import fewest_runs
from htrun.analysis.timing.comparison import Run, Verdict, compare
from htrun.analysis.timing.run_order import RunOrder

_LEVEL = 0.05


def verdict_of(one: Sequence[Run], other: Sequence[Run]) -> Verdict:
    """The verdict on runs of the same spans. Its probability and its interval must agree."""
    [comparison] = compare({"work": one}, {"work": other}, threshold=0.0)
    if comparison.ratio is not None and comparison.probability is not None:
        excludes = not comparison.ratio.low <= 1 <= comparison.ratio.high
        assert excludes == (comparison.probability <= _LEVEL)
    return comparison.verdict


def alarms(verdicts: Sequence[Verdict]) -> int:
    """The number of false alarms."""
    return sum(verdict in {Verdict.FASTER, Verdict.SLOWER} for verdict in verdicts)


def most_alarms(trials: int, runs: int, chance: float) -> int:
    """The number of false alarms among ``trials`` comparisons of ``runs`` runs of each side that is exceeded with the
    probability ``chance`` if each gives an alarm with a probability of 5%. Too few runs permit none at all."""
    return int(stats.binom.isf(chance, trials, _LEVEL)) if runs >= fewest_runs(_LEVEL) else 0


def in_random_order(runs: Sequence[Run], order: RunOrder) -> tuple[list[Run], list[Run]]:
    """``runs``, which are in the order of time, distributed over A and B as ``order`` says."""
    sides: tuple[list[Run], list[Run]] = ([], [])
    for run, (number, side) in zip(runs, order.turns(2), strict=True):
        sides[side].append(replace(run, block=order.block_of(number)))
    return sides
