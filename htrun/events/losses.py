"""Losses of events in a trace, as reported by the trace's packets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A time interval in which events of a thread were lost. ``stream``: the number of the thread's stream. ``begin``,
    ``end``: the limits of the interval, in ns since the epoch; the events strictly between them may be incomplete.
    ``events``: the number of lost events."""

    stream: int
    begin: int
    end: int
    events: int
