"""Divides the time of a trace at the losses of events: nothing is paired across a loss.

Epochs between losses have even numbers, epochs within losses odd numbers. Events with a key may be paired across
threads, so their epochs depend on the losses of all threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.timing.marks import Marks
    from htrun.events.losses import Loss

    _Ints = NDArray[np.int64]


class Epochs:
    """The epochs of a trace. It is false if no events were lost."""

    def __init__(self, losses: Sequence[Loss]) -> None:
        self._any = bool(losses)
        of_streams: dict[int, list[tuple[int, int]]] = {}
        for loss in losses:
            of_streams.setdefault(loss.stream, []).append((loss.begin, loss.end))
        every = [stretch for stretches in of_streams.values() for stretch in stretches]
        self._all = np.array(_merged(every), np.uint64).reshape(-1, 2)
        self._streams = {
            stream: np.array(_merged(stretches), np.uint64).reshape(-1, 2) for stream, stretches in of_streams.items()
        }

    def __bool__(self) -> bool:
        return self._any

    def of(self, marks: Marks, keyed: NDArray[np.bool_]) -> _Ints:
        """The epoch of each of ``marks``. ``keyed``: for each name, whether its marks have a key."""
        return self._each(marks, keyed, lambda stretches, times: _epochs(stretches, times))

    def last(self, marks: Marks, keyed: NDArray[np.bool_]) -> _Ints:
        """For each of ``marks``, the last epoch of its thread, or of all threads if it has a key."""
        return self._each(marks, keyed, lambda stretches, times: np.full(len(times), 2 * len(stretches), np.int64))

    def _each(
        self,
        marks: Marks,
        keyed: NDArray[np.bool_],
        function: Callable[[NDArray[np.uint64], NDArray[np.uint64]], _Ints],
    ) -> _Ints:
        values = np.zeros(len(marks), np.int64)
        if not self._any:
            return values
        with_key = keyed[marks["name"]]
        values[with_key] = function(self._all, marks["time"][with_key])
        for stream in np.unique(marks["stream"]).tolist():
            if stream in self._streams:
                own = ~with_key & (marks["stream"] == stream)
                values[own] = function(self._streams[stream], marks["time"][own])
        return values


def _merged(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """``stretches`` sorted by time, with adjacent and overlapping ones merged."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _epochs(stretches: NDArray[np.uint64], times: NDArray[np.uint64]) -> _Ints:
    # An event at the begin or the end of a stretch counts as outside.
    begun = np.searchsorted(stretches[:, 0], times, side="left")
    return begun + np.searchsorted(stretches[:, 1], times, side="right")
