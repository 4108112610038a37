"""Finds the events that were the first of a call site in their process, or the first of their thread.

Such an event traps: the site is then patched, and the thread gets its ring. This takes up to milliseconds, so a span
that contains such an event is too long by that time. Events that the guest library wrote to a ring never trap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from htrun.events.definitions import DEFINITIONS, HYPERTRACE
from htrun.events.records import RING_SITE

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    def feed(self, events: Events, first: int) -> None:
        """Process ``events``, which follow those of the previous call. ``first``: the number of the first of these."""
        rows = np.flatnonzero((events["kind"] == _HYPERTRACE) & (events["site"] != RING_SITE))
        streams, sites = events["stream"][rows], events["site"][rows].astype(np.uint64)
        shift, thread = np.uint64(32), np.uint64(1 << 63)
        places = (self._processes[streams] << shift) | sites
        threads = thread | (streams.astype(np.uint64) << shift)
        for codes in (places, threads):
            self._note(codes, rows, streams, first)

    def _note(self, codes: _Words, rows: NDArray[np.intp], streams: NDArray[np.uint32], first: int) -> None:
        unknown = np.flatnonzero(~_among(codes, self._known))
        if not len(unknown):
            return
        new, at = np.unique(codes[unknown], return_index=True)
        self._known = np.union1d(self._known, new)
        own = unknown[at]
        numbers = (rows[own] + first).astype(np.uint64)
        self._found = np.union1d(self._found, _placed(streams[own], numbers))

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
