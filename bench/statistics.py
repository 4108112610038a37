"""Medians, spreads and ratios of runs that alternate."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The first and third quartile; of a single value, that value twice. ``values``: at least one."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


def paired_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of each value over the base's value of the same round.

    Runs of one round lie close in time, so what slows the machine for a while slows both, and the ratio stays. Raises
    ValueError when the rounds differ in number.
    """
    return median(value / other for value, other in zip(values, base, strict=True))


def paired_difference(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of each value less the base's value of the same round. Raises ValueError as `paired_ratio` does."""
    return median(value - other for value, other in zip(values, base, strict=True))
