"""The search for the spans around many spans at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Ints = NDArray[np.int64]


def last_above(values: _Ints, before: _Ints, limits: _Ints) -> _Ints:
    """For each pair of ``before`` and ``limits``, the last index below ``before`` at which ``values`` exceeds the
    limit; -1 if there is none.

    The values are the leaves of a binary tree whose inner nodes have the maximum below them. A search climbs from its
    leaf until the node to the left exceeds the limit. Then it descends from that node, to the right where possible.
    """
    tree = _maxima(values)
    found = np.full(len(before), -1, np.int64)
    nodes, asking = before.astype(np.int64), np.arange(len(before))
    for level, maxima in enumerate(tree):
        # Only a node with an even number has a right neighbour below the same parent.
        odd = (nodes & 1).astype(bool)
        left = nodes - 1
        hit = odd & (maxima[np.maximum(left, 0)] > limits[asking])
        found[asking[hit]] = _descend(tree, level, left[hit], limits[asking[hit]])
        nodes, asking = nodes[~hit] >> 1, asking[~hit]
        if not len(asking):
            break
    return found


def _maxima(values: _Ints) -> list[_Ints]:
    """The levels of the tree, from the leaves up."""
    levels = [values]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = below[: len(below) & ~1].reshape(-1, 2).max(axis=1)
        levels.append(np.append(pairs, below[-1:]) if len(below) & 1 else pairs)
    return levels


def _descend(tree: list[_Ints], level: int, nodes: _Ints, limits: _Ints) -> _Ints:
    """The last leaf below each of ``nodes`` of ``level`` that exceeds its limit; there is one."""
    for below in reversed(tree[:level]):
        right = np.minimum(2 * nodes + 1, len(below) - 1)
        nodes = np.where(below[right] > limits, right, 2 * nodes)
    return nodes
