"""Numbers the events of each thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.codes import in_order
from htrun.events.definitions import DEFINITIONS, SCHED_EVENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from htrun.events.records import Events

    _Words = NDArray[np.uint64]

_FIRST_OF_KERNEL = min(DEFINITIONS.index(kind) for kind in SCHED_EVENTS)
"""The kinds from this one on are events that the kernel records."""


class Ordinals:
    """Numbers the events of each thread from 0, one batch at a time. Events of the kernel are left out, since they cost
    the thread nothing. Their number is 0."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.int64)

    def of(self, events: Events) -> _Words:
        """For each of the next ``events``, its number within its stream."""
        kernel = events["kind"] >= _FIRST_OF_KERNEL
        streams = np.ascontiguousarray(events["stream"])
        if not kernel.any():
            return self.feed(streams)
        ordinals = np.zeros(len(events), np.uint64)
        ordinals[~kernel] = self.feed(streams[~kernel])
        return ordinals

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
