"""Medians, spreads and ratios of benches that run alternately."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile of ``values``. There must be at least one value; a single value is both
    quartiles."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


def paired_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of each value to the value of ``base`` in the same round.

    The runs of a round are close in time, so a slow phase of the machine slows both runs, and their ratio stays the
    same. Raises ValueError if the numbers of rounds differ.
    """
    return median(value / other for value, other in zip(values, base, strict=True))


def paired_difference(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the differences between each value and the value of ``base`` in the same round.

    Raises ValueError like `paired_ratio`.
    """
    return median(value - other for value, other in zip(values, base, strict=True))
