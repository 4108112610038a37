"""Distributions of probability and their quantiles, to about ten digits.

scipy has them all, and is larger than everything else that htrun needs. The tests compare each function with scipy's.

The sections are those of the Digital Library of Mathematical Functions (dlmf.nist.gov).
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALL = 1e-300
_PRECISION = 1e-15
_NEGLIGIBLE = -600.0
"""The logarithm of a probability that is taken as 0."""
_MOST_TERMS = 100_000
_NORMAL = NormalDist()
_POINTS = 4000
"""The number of points at which `noncentral_t_above` evaluates its integrand."""


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """The argument between ``low`` and ``high`` at which the monotonic ``function`` is 0, by bisection."""
    rising = function(high) > 0
    while True:
        middle = low + (high - low) / 2
        if middle in (low, high):
            return middle
        if (function(middle) > 0) == rising:
            high = middle
        else:
            low = middle


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function I_x(a, b), by its continued fraction (section 8.17(v))."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    factor = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    # Lentz's method, modified by Thompson and Barnett.
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        before = value
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= c * d
        if abs(value - before) <= _PRECISION * abs(value):
            break
    return factor * value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _SMALL else _SMALL


def incomplete_gamma(a: float, x: float) -> float:
    """The regularized lower incomplete gamma function P(a, x), by its series (8.11.4)."""
    if x <= 0:
        return 0.0
    logarithm = a * math.log(x) - x - math.lgamma(a + 1)
    if logarithm < _NEGLIGIBLE:
        return float(x > a)
    term = total = math.exp(logarithm)
    for n in range(1, _MOST_TERMS):
        term *= x / (a + n)
        total += term
        if term <= _PRECISION * total:
            break
    return total


def normal_above(value: float) -> float:
    """The probability that a normal variable exceeds ``value``."""
    return math.erfc(value / math.sqrt(2)) / 2


def normal_quantile(probability: float) -> float:
    """The value that a normal variable does not exceed with ``probability``."""
    return _NORMAL.inv_cdf(probability)


@functools.lru_cache(maxsize=1024)
def t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's distribution with ``freedom`` degrees of freedom, for a ``probability`` of at least
    one half."""
    if probability == 0.5:
        return 0.0

    def missed(x: float) -> float:
        return incomplete_beta(freedom / 2, 0.5, x) - 2 * (1 - probability)

    x = root(missed, 0.0, 1.0)
    return math.sqrt(freedom * (1 - x) / x)


def chi2_quantile(probability: float, freedom: float) -> float:
    """The quantile of the chi-square distribution."""
    high = freedom + 10 * math.sqrt(2 * freedom) + 100
    return root(lambda x: incomplete_gamma(freedom / 2, x / 2) - probability, 0.0, high)


def noncentral_t_above(value: float, freedom: float, centre: float) -> float:
    """The probability that a variable of Student's noncentral distribution, with the noncentrality ``centre``, exceeds
    ``value``.

    It is the mean, over the distribution of the root mean square ``s`` of ``freedom`` normal variables, of the
    probability that a normal variable exceeds ``value * s - centre``.
    """
    spread = 1 / math.sqrt(2 * freedom)
    low, high = max(1 - 12 * spread, 0.0), 1 + 14 * spread
    s = np.linspace(low, high, _POINTS + 1)[1:] if low == 0 else np.linspace(low, high, _POINTS + 1)
    log_density = (freedom - 1) * np.log(s) - freedom * s * s / 2
    density = np.exp(log_density - log_density.max())
    above = np.fromiter(map(normal_above, value * s - centre), np.float64, len(s))
    return float((density * above).sum() / density.sum())
