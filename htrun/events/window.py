"""A selection of events by time and thread: what any reader can find without decoding the rest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The events with ``begin <= time < end``, in ns since the epoch, of the ``streams`` with these numbers (None: of
    all)."""

    begin: int = 0
    end: int = 2**64 - 1
    streams: frozenset[int] | None = None


EVERYTHING = Window()
BATCH = 1 << 16
"""About how many events are read at once: enough to amortise the cost of a batch."""
