"""Numbers the events of each thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.codes import in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Words = NDArray[np.uint64]


class Ordinals:
    """Numbers the events of each thread from 0, one batch at a time."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.int64)

    def feed(self, streams: NDArray[np.uint32]) -> _Words:
        """For each of the next events, its number within its stream. ``streams``: the streams of these events."""
        counts = np.bincount(streams, minlength=len(self._counts))
        before = np.zeros(len(counts), np.int64)
        before[: len(self._counts)] = self._counts
        self._counts = before + counts
        ordinals = np.arange(len(streams))
        # In the order of streams, the numbers of a stream are consecutive.
        ordinals += np.repeat(before - (np.cumsum(counts) - counts), counts)
        if np.count_nonzero(counts) <= 1:
            return ordinals.view(np.uint64)
        found = np.empty(len(streams), np.int64)
        found[in_order(streams)] = ordinals
        return found.view(np.uint64)
