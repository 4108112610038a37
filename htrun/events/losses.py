"""Where events of a trace were lost, as far as its packets show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A stretch of a thread's time in which events were lost. ``stream``: the thread's number; ``begin`` and ``end``:
    ns since the epoch; what lies strictly between may be incomplete. ``events``: how many were lost."""

    stream: int
    begin: int
    end: int
    events: int
