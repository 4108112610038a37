"""A selection of events by time and thread. Readers find these events without decoding the other events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The events with ``begin <= time < end`` (in ns since the epoch) of the streams with the numbers ``streams``; None
    stands for all streams."""

    begin: int = 0
    end: int = 2**64 - 1
    streams: frozenset[int] | None = None


EVERYTHING = Window()
BATCH = 1 << 16
"""The approximate number of events in a batch that is read: enough to amortise the cost of a batch."""
