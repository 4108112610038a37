"""The number of runs needed to find a difference of a given size."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from htrun.analysis.timing.blocks import fewest_runs, sizes_of
from htrun.analysis.timing.probability import chi2_quantile, noncentral_t_above, t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

POWER = 0.9
"""The probability with which the difference is to be found."""
GUESSED_SPREAD = 0.03
"""The standard deviation between runs, relative to their mean, that is assumed if there is only one run.

On shared machines, the times of programs that take some milliseconds differ by 1 to 5% from run to run.
"""
_DOUBT = 0.2
"""The probability that the true spread exceeds the spread used.

A few runs may happen to agree better than is typical. So the spread used is the upper end of a one-sided interval, from
the chi-square distribution.
"""
_MOST = 10_000
_CERTAIN = 30.0
"""A difference of at least this number of standard errors is assumed to be found always, without computing the
distribution."""


def spread(groups: Sequence[Sequence[float]], within: float, apart: float = 0.0) -> tuple[float, bool]:
    """The upper limit of the standard deviation between runs, and whether the deviation had to be guessed.

    ``groups``: for each side and block, the logarithms of the medians of its runs. ``within``: the standard error of
    the logarithm of one run, known from its spans. ``apart``: the difference of the logarithms of the modes between
    which medians may change; 0 if there are no such modes.
    """
    freedom = sum(len(group) - 1 for group in groups)
    unseen = _unseen(apart, sum(len(group) for group in groups))
    if freedom == 0:
        return max(math.hypot(GUESSED_SPREAD, within), unseen), True
    squares = sum((value - sum(group) / len(group)) ** 2 for group in groups for value in group)
    return max(math.sqrt(squares / chi2_quantile(_DOUBT, freedom)), within, unseen), False


def _unseen(apart: float, runs: int) -> float:
    """The upper limit of the standard deviation between runs of which some have a median that differs by ``apart``, but
    none of these ``runs`` has."""
    share = min(1 - _DOUBT ** (1 / runs), 0.5)
    return apart * math.sqrt(share * (1 - share))


def runs_needed(deviation: float, difference: float, level: float) -> int:
    """The number of runs needed on each side to find ``difference``, a difference of mean logarithms, with probability
    `POWER`.

    ``deviation``: the standard deviation between runs. ``level``: the probability of a false alarm. The result is at
    most `_MOST`.
    """
    least, most = fewest_runs(level), _MOST
    if _power(least, deviation, difference, level) >= POWER:
        return least
    while least + 1 < most:
        middle = (least + most) // 2
        if _power(middle, deviation, difference, level) >= POWER:
            most = middle
        else:
            least = middle
    return most


@functools.lru_cache(maxsize=1024)
def _power(runs: int, deviation: float, difference: float, level: float) -> float:
    """The power of Student's test with a mean for each block, which the power of the permutation test approaches."""
    if deviation == 0:
        return 1.0
    freedom = 2 * runs - len(sizes_of(runs)) - 1
    center = difference / (deviation * math.sqrt(2 / runs))
    if center > _CERTAIN:
        return 1.0
    return noncentral_t_above(t_quantile(1 - level / 2, freedom), freedom, center)
