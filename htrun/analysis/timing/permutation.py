"""An exact permutation test of whether two small groups of values differ, and the interval that belongs to the test.

If A and B are the same, all ways to distribute the values of each block over A and B are equally likely. So the
probability of a difference of means at least as large as the observed one is the share of ways with such a difference
(Fisher 1935). The test assumes nothing about the distribution of the values. The interval contains every shift of B
that the test does not reject, so the test and the interval never contradict each other.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.blocks import sizes_in, ways

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.timing.blocks import Sizes

    Booleans = NDArray[np.bool_]
    Floats = NDArray[np.float64]

_MOST_EXCHANGES = 200_000
"""The maximum number of ways that are tried. If there are more, this number of ways is drawn. Two groups of 10 runs
have 184,756 ways in one block, and 63,504 in two blocks of 5."""
_CHUNK = 20_000
"""The number of ways that are drawn at a time."""
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).astype(np.float64)
"""The bits of each byte, the highest first."""
_ROUNDING = 1e-13
_SEED = 1
"""A fixed seed: the same runs always have the same figures."""


@dataclass(frozen=True)
class Shift:
    """The mean of B minus the mean of A.

    ``low``, ``high``: the ends of its interval; infinite if there are too few values to bound the interval.
    ``probability``: the two-sided probability of a difference at least this large if A and B are the same.
    """

    value: float
    low: float
    high: float
    probability: float


def shift(
    one: Sequence[float],
    other: Sequence[float],
    level: float,
    blocks: tuple[Sequence[int], Sequence[int]] | None = None,
) -> Shift:
    """The shift from ``one`` to ``other``.

    ``blocks``: the index of the block of each value of ``one`` and of ``other``; None: all values form one block.

    The interval includes the true shift with probability 1 - ``level`` or more. It excludes 0 if and only if
    `Shift.probability` is at most ``level``.
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    value = float(second.mean() - first.mean())
    indexes = ([0] * len(first), [0] * len(second)) if blocks is None else blocks
    # The order that `_choices` expects: sorted by blocks; in each block, the values of A come first.
    order = np.lexsort((np.repeat([0, 1], [len(first), len(second)]), np.concatenate(indexes)))
    limits = _limits(np.concatenate([first, second])[order], order < len(first), sizes_in(*map(list, indexes)))
    # Sums of the same values in another order may differ in the last bit.
    limits[np.abs(limits) <= _ROUNDING * max(np.abs(first).max(), np.abs(second).max())] = 0
    tried = len(limits) + 1
    extreme = 1 + min(np.count_nonzero(limits <= 0), np.count_nonzero(limits >= 0))
    excluded = math.floor(level * tried / 2 + 1e-9)
    low, high = -math.inf, math.inf
    if excluded:
        ends = np.partition(limits, [excluded - 1, tried - 1 - excluded])
        low, high = float(ends[excluded - 1]), float(ends[tried - 1 - excluded])
    return Shift(value, low, high, min(2 * extreme / tried, 1.0))


def _limits(values: Floats, is_first: Booleans, sizes: Sizes) -> Floats:
    """For each way to distribute the ``values`` except the observed one: the shift of B at which the exchange does not
    change the difference of means. This is the mean of the values that leave B, minus the mean of the values that leave
    A. ``is_first``: whether a value belongs to A."""
    packed, exchanged = _choices(sizes)
    # Values that are close to 0 lose fewer digits when their sums are subtracted.
    near = np.zeros(8 * packed.shape[1])
    near[: len(values)] = values - values.mean()
    # The sum of each choice among 8 values: looking them up is faster than a product with the matrix of choices.
    sums = _BITS @ near.reshape(-1, 8).T
    chosen = np.zeros(len(packed))
    for place in range(packed.shape[1]):
        chosen += sums[packed[:, place], place]
    return np.asarray((chosen - near[: len(values)][is_first].sum()) / exchanged)


@functools.lru_cache(maxsize=8)
def _choices(sizes: Sizes) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """The ways to choose the values that belong to A, except the observed way, and the number of values of B among
    them.

    Each way has a row, and each value a bit (`numpy.packbits`), sorted by blocks; in each block, the values of A come
    first. 200,000 ways for two groups of 100 runs have 5 MB.
    """
    is_first = np.concatenate([np.arange(first + second) < first for first, second in sizes])
    if ways(sizes) <= _MOST_EXCHANGES:
        chunks: Iterable[Booleans] = [_all_choices(sizes)]
    else:
        generator = np.random.default_rng(_SEED)
        chunks = (_drawn(sizes, generator, _CHUNK) for _ in range(_MOST_EXCHANGES // _CHUNK))
    packed, exchanged = [], []
    for chosen in chunks:
        count = np.count_nonzero(chosen & ~is_first, axis=1)
        # A way that exchanges nothing is the observed way.
        packed.append(np.packbits(chosen[count > 0], axis=1))
        exchanged.append(count[count > 0])
    return np.concatenate(packed), np.concatenate(exchanged)


def _all_choices(sizes: Sizes) -> Booleans:
    """All ways. True means that a value belongs to A."""
    parts = [_choices_of_block(first, second) for first, second in sizes]
    rows = np.indices([len(part) for part in parts]).reshape(len(parts), -1)
    return np.concatenate([part[row] for part, row in zip(parts, rows, strict=True)], axis=1)


def _choices_of_block(first: int, second: int) -> Booleans:
    total, count = first + second, math.comb(first + second, first)
    chosen = np.zeros((count, total), np.bool_)
    places = np.fromiter(itertools.chain.from_iterable(itertools.combinations(range(total), first)), np.intp)
    chosen[np.repeat(np.arange(count), first), places] = True
    return chosen


def _drawn(sizes: Sizes, generator: np.random.Generator, count: int) -> Booleans:
    """``count`` ways that are drawn at random."""

    def of_blocks() -> Iterator[Booleans]:
        for first, second in sizes:
            yield generator.random((count, first + second)).argsort(axis=1) < first

    return np.concatenate(list(of_blocks()), axis=1)
