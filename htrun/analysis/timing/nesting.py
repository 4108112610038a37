"""A vectorised search for the spans that contain other spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Ints = NDArray[np.int64]


def last_above(values: _Ints, before: _Ints, limits: _Ints) -> _Ints:
    """For each index in ``before`` and its limit in ``limits``, find the last smaller index at which ``values`` exceeds
    the limit. The result is -1 if there is none.

    The values are the leaves of a binary tree, in which an inner node has the maximum of the leaves below it. A search
    climbs from its leaf until the node to the left exceeds the limit. Then it descends from that node, and prefers the
    right child.
    """
    tree = _maxima(values)
    found = np.full(len(before), -1, np.int64)
    nodes, asking = before.astype(np.int64), np.arange(len(before))
    for level, maxima in enumerate(tree):
        # A node with an odd number is the right child of its parent.
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
    """For each of ``nodes`` on ``level``, the last leaf below the node that exceeds the limit. Such a leaf must
    exist."""
    for below in reversed(tree[:level]):
        right = np.minimum(2 * nodes + 1, len(below) - 1)
        nodes = np.where(below[right] > limits, right, 2 * nodes)
    return nodes
