"""Finds the events that were the first of a call site in their process, or the first of their thread.

Such an event traps: the site is then patched, and the thread gets its ring. This takes up to milliseconds, so a span
that contains such an event is too long by that time. Events that the guest library wrote to a ring never trap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.events.definitions import DEFINITIONS, HYPERTRACE
from htrun.events.records import RING_SITE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from htrun.events.records import Events

    Spans = NDArray[np.void]
    """Spans, of `spans.span_dtype`."""
    _Words = NDArray[np.uint64]

_HYPERTRACE = DEFINITIONS.index(HYPERTRACE)
_NUMBER_BITS = 40
"""The number of bits of an event's number, which shares a word with its stream."""


class FirstEvents:
    """Finds such events in a trace, one batch at a time. Memory grows with the number of call sites and threads."""

    def __init__(self, processes: Sequence[int]) -> None:
        """``processes``: the process id of each stream."""
        self._processes = np.array(processes, np.uint64)
        self._known: _Words = np.empty(0, np.uint64)
        self._found: _Words = np.empty(0, np.uint64)

    def feed(self, events: Events, first: int) -> NDArray[np.intp]:
        """Process ``events``, which follow those of the previous call, and return the rows of those that it found.
        ``first``: the number of the first of ``events``."""
        rows = np.flatnonzero((events["kind"] == _HYPERTRACE) & (events["site"] != RING_SITE))
        streams, sites = events["stream"][rows], events["site"][rows].astype(np.uint64)
        shift, thread = np.uint64(32), np.uint64(1 << 63)
        places = (self._processes[streams] << shift) | sites
        threads = thread | (streams.astype(np.uint64) << shift)
        return np.union1d(*(self._note(codes, rows, streams, first) for codes in (places, threads)))

    def _note(self, codes: _Words, rows: NDArray[np.intp], streams: NDArray[np.uint32], first: int) -> NDArray[np.intp]:
        unknown = np.flatnonzero(~_among(codes, self._known))
        if not len(unknown):
            return unknown
        new, at = np.unique(codes[unknown], return_index=True)
        self._known = np.union1d(self._known, new)
        own = unknown[at]
        numbers = (rows[own] + first).astype(np.uint64)
        self._found = np.union1d(self._found, _placed(streams[own], numbers))
        return rows[own]

    def within(self, spans: Spans) -> NDArray[np.bool_]:
        """A mask of the ``spans``, whose events were processed before, that contain such an event of one of their
        threads, begin and end included."""
        held = np.zeros(len(spans), bool)
        for streams in (spans["begin_stream"], spans["end_stream"]):
            low = np.searchsorted(self._found, _placed(streams, spans["begin_number"]), "left")
            high = np.searchsorted(self._found, _placed(streams, spans["end_number"]), "right")
            held |= high > low
        return held


def _placed(streams: NDArray[np.uint32], numbers: _Words) -> _Words:
    """A word for each event that sorts by stream and then by position in the trace."""
    placed: _Words = (streams.astype(np.uint64) << np.uint64(_NUMBER_BITS)) | numbers
    return placed


def _among(codes: _Words, known: _Words) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(codes), bool)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, codes), len(known) - 1)] == codes
    return found


class FirstTimes:
    """The times of such events, by stream: they are found in a whole trace, and spans of a part of it are looked up."""

    def __init__(self, processes: Sequence[int], batches: Iterable[Events]) -> None:
        """``processes``: the process id of each stream; ``batches``: all events of the trace."""
        finder, count = FirstEvents(processes), 0
        streams, times = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        for events in batches:
            found = events[finder.feed(events, count)]
            streams.append(found["stream"].astype(np.uint64))
            times.append(found["time"])
            count += len(events)
        at = np.concatenate(times)
        self._times = np.unique(at)
        self._keys = np.sort(_key(np.concatenate(streams), np.searchsorted(self._times, at)))

    def within(
        self, streams: NDArray[np.uint32], begin: NDArray[np.uint64], end: NDArray[np.uint64]
    ) -> NDArray[np.bool_]:
        """A mask of the intervals from ``begin`` to ``end`` (ns) that contain such an event of their stream."""
        low = np.searchsorted(self._keys, _key(streams, np.searchsorted(self._times, begin, "left")), "left")
        high = np.searchsorted(self._keys, _key(streams, np.searchsorted(self._times, end, "right")), "left")
        held: NDArray[np.bool_] = high > low
        return held


def _key(streams: NDArray[Any], ranks: NDArray[np.intp]) -> _Words:
    """A word for each pair of a stream and the rank of a time, which sorts by stream and then by time."""
    return (streams.astype(np.uint64) << np.uint64(_NUMBER_BITS)) | ranks.astype(np.uint64)
