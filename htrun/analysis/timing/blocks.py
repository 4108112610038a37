"""Blocks of runs: the runs of A and B that a permutation test may exchange with each other.

Each run has the name of its block. Without names, or if A and B do not have the same blocks, all runs form one block.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Sizes = tuple[tuple[int, int], ...]
    """For each block, the numbers of runs of A and of B."""

_LEAST = 4
"""The minimum number of runs of each side in a block. A test of one block of this size can reject equality at 5%."""


def sizes_of(runs: int) -> tuple[int, ...]:
    """The division of ``runs`` runs of each side into blocks of 4 to 7 runs each, whose sizes differ by at most 1.
    Fewer than 4 runs form one block; 0 runs or less form none."""
    if runs <= 0:
        return ()
    blocks = max(runs // _LEAST, 1)
    return tuple(runs // blocks + (block < runs % blocks) for block in range(blocks))


def common_blocks(one: Sequence[str], other: Sequence[str]) -> tuple[list[int], list[int]]:
    """The index of the block of each run of A and of B. ``one``, ``other``: the names of these blocks."""
    names = dict.fromkeys(one)
    if names.keys() != set(other):
        return [0] * len(one), [0] * len(other)
    places = {name: place for place, name in enumerate(names)}
    return [places[name] for name in one], [places[name] for name in other]


def sizes_in(one: Sequence[int], other: Sequence[int]) -> Sizes:
    """The sizes of the blocks with these indexes."""
    return tuple((one.count(block), other.count(block)) for block in range(max([*one, *other], default=-1) + 1))


def ways(sizes: Sizes) -> int:
    """The number of ways to distribute the runs of each block over A and B."""
    return math.prod(math.comb(first + second, first) for first, second in sizes)


def can_reject(sizes: Sizes, level: float) -> bool:
    """Whether there are enough ways for a two-sided probability of ``level`` or less."""
    return level * ways(sizes) >= 2


def fewest_runs(level: float) -> int:
    """The number of runs of each side, in blocks of `sizes_of`, that permit a probability of ``level`` or less."""
    return next(runs for runs in itertools.count(2) if can_reject(tuple((n, n) for n in sizes_of(runs)), level))
