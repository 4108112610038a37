"""Losses of events in a trace, as far as its packets show them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A stretch of a thread's time in which events were lost. ``stream``: the thread's number; ``begin`` and ``end``:
    ns since the epoch; the events strictly between may be incomplete. ``events``: number of lost events."""

    stream: int
    begin: int
    end: int
    events: int
