"""Puts events of many threads into one time order, while events still arrive.

Each thread's events arrive in order, but an event may arrive after younger events of another thread: a thread can be
interrupted after it has taken a time stamp and before it has written the record, and htrun sees an event that traps
microseconds after it happened. So the latest events are held back for a while.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from htrun.events.records import merge

if TYPE_CHECKING:
    from htrun.events.clock import Clock
    from htrun.events.records import Events

_HOLD_BACK_NS = 5_000_000
"""The minimum time in ns for which an event is held back. The maximum is twice this time, plus the time between two
rounds."""


class TimeOrder:
    """Merges batches, each of which is in time order, into one sequence in time order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._batches: list[Events] = []
        self._settled = 0
        """The time in ticks before which all events have been seen: at least `_HOLD_BACK_NS` before the round began."""
        self._next_settled = clock.source.read()
        self._next_at = 0

    def __bool__(self) -> bool:
        """Whether events are held back."""
        return bool(self._batches)

    def begin_round(self) -> None:
        """Begin a round. This must be called each time before the records of all threads are collected. The age of an
        event at the time of this call decides whether the event is settled, since collecting may take arbitrarily
        long."""
        now = time.monotonic_ns()
        if now >= self._next_at:
            self._settled, self._next_settled = self._next_settled, self._clock.source.read()
            self._next_at = now + _HOLD_BACK_NS

    def add(self, events: Events) -> None:
        """Add a batch of one thread's events."""
        self._batches.append(events)

    def take(self, *, everything: bool) -> Events | None:
        """Take the events that are older than any event that may still arrive, or all events if ``everything``. Returns
        None if there are none."""
        if not self._batches:
            return None
        import numpy as np

        events = merge(self._batches)
        self._batches = []
        if everything:
            return events
        limit = self._clock.to_realtime_ns(np.array([self._settled], np.uint64))[0]
        count = int(np.searchsorted(events["time"], limit))
        if count < len(events):
            self._batches.append(events[count:])
        return events[:count] if count else None
