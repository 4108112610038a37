"""Finds first events: the first event of each call site in a process, and the first event of each thread.

A first event traps: the call site is then patched, and the thread gets its ring. The trap takes up to a few
milliseconds, and makes the span that contains the event longer by this time. Events that the guest library writes to a
ring never trap.
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
    """An array of spans, of the type `spans.span_dtype`."""
    _Words = NDArray[np.uint64]

_HYPERTRACE = DEFINITIONS.index(HYPERTRACE)
_NUMBER_BITS = 40
"""The number of bits for the number of an event in a word. The other bits hold the event's stream."""


class FirstEvents:
    """Finds the first events of a trace, one batch at a time. The memory used grows with the number of call sites and
    threads."""

    def __init__(self, processes: Sequence[int]) -> None:
        """``processes``: the process id of each stream."""
        self._processes = np.array(processes, np.uint64)
        self._known: _Words = np.empty(0, np.uint64)
        self._found: _Words = np.empty(0, np.uint64)

    def feed(self, events: Events, first: int) -> NDArray[np.intp]:
        """Process the next ``events`` of the trace, and return the rows of the first events among them. ``first``: the
        number of ``events[0]`` in the trace."""
        rows = np.flatnonzero((events["kind"] == _HYPERTRACE) & (events["site"] != RING_SITE))
        if not len(rows):
            return rows
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
        """A mask of the ``spans`` that contain a first event of one of their threads. The begin and the end of a span
        belong to it. The events of the spans must have been processed."""
        if not len(self._found):
            return np.zeros(len(spans), bool)
        begin, end = spans["begin_stream"], spans["end_stream"]
        held = self._any_within(spans, begin)
        if (begin != end).any():
            held |= self._any_within(spans, end)
        return held

    def _any_within(self, spans: Spans, streams: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """A mask of the ``spans`` that contain a first event of their thread among ``streams``."""
        low = np.searchsorted(self._found, _placed(streams, spans["begin_number"]), "left")
        high = np.searchsorted(self._found, _placed(streams, spans["end_number"]), "right")
        held: NDArray[np.bool_] = high > low
        return held


def _placed(streams: NDArray[np.uint32], numbers: _Words) -> _Words:
    """A sort key for each event: a word that orders events by stream, and then by their number in the trace."""
    placed: _Words = (streams.astype(np.uint64) << np.uint64(_NUMBER_BITS)) | numbers
    return placed


def _among(codes: _Words, known: _Words) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(codes), bool)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, codes), len(known) - 1)] == codes
    return found


class FirstTimes:
    """The times of all first events of a trace, by stream. Spans of a part of the trace can be looked up."""

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
        """A mask of the intervals from ``begin`` to ``end`` (in ns) of ``streams`` that contain a first event of their
        stream."""
        low = np.searchsorted(self._keys, _key(streams, np.searchsorted(self._times, begin, "left")), "left")
        high = np.searchsorted(self._keys, _key(streams, np.searchsorted(self._times, end, "right")), "left")
        held: NDArray[np.bool_] = high > low
        return held


def _key(streams: NDArray[Any], ranks: NDArray[np.intp]) -> _Words:
    """A sort key for each pair of a stream and the rank of a time: a word that orders pairs by stream, and then by
    time."""
    return (streams.astype(np.uint64) << np.uint64(_NUMBER_BITS)) | ranks.astype(np.uint64)
