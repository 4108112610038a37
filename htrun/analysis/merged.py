"""Several recordings read as one, in one order of time."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from htrun.events.losses import Loss
from htrun.events.records import event_dtype, merge
from htrun.events.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from htrun.analysis.reader import TraceReader
    from htrun.events.definitions import Definition
    from htrun.events.records import Events
    from htrun.events.stream import Stream


class MergedReader:
    """Is a `TraceReader` of all events of several, at least one. What there can be only one of, such as the path and
    the facts of the run, is the first one's.

    Threads are numbered on: the first stream of the second reader comes after the last of the first.
    """

    def __init__(self, readers: Sequence[TraceReader]) -> None:
        self._readers = tuple(readers)
        counts = [len(reader.streams) for reader in readers]
        self._first_streams = list(accumulate(counts[:-1], initial=0))
        self.path: Path = readers[0].path
        self.description: Mapping[str, str | int] = readers[0].description
        self.clock_frequency = readers[0].clock_frequency
        self.streams: Sequence[Stream] = [stream for reader in readers for stream in reader.streams]
        self.discarded: Sequence[int] = [lost for reader in readers for lost in reader.discarded]
        self.kinds: tuple[Definition, ...] = tuple(dict.fromkeys(kind for reader in readers for kind in reader.kinds))
        self.channel_args = max(reader.channel_args for reader in readers)
        self.num_args = max(reader.num_args for reader in readers)
        self.count = sum(reader.count for reader in readers)

    @property
    def duration(self) -> tuple[int, int] | None:
        """From the first event of any to the last of any."""
        found = [duration for reader in self._readers if (duration := reader.duration) is not None]
        return (min(begin for begin, _ in found), max(end for _, end in found)) if found else None

    @property
    def losses(self) -> Sequence[Loss]:
        """Those of all."""
        return [
            Loss(loss.stream + first, loss.begin, loss.end, loss.events)
            for reader, first in zip(self._readers, self._first_streams, strict=True)
            for loss in reader.losses
        ]

    def batches(self, window: Window, size: int) -> Iterator[Events]:
        """The events of all in one order of time. Those of one time and one reader stay in that reader's order; which
        reader's come first is not said."""
        sources = [
            _Unread(self._widened(reader.batches(self._window_of(reader, first, window), size), first))
            for reader, first in zip(self._readers, self._first_streams, strict=True)
        ]
        while sources := [source for source in sources if source.ready()]:
            # Up to here each has all that it will ever have.
            horizon = min(source.last for source in sources)
            yield merge([source.take(horizon) for source in sources])

    def _window_of(self, reader: TraceReader, first: int, window: Window) -> Window:
        """The part of ``window`` that is of ``reader``, whose first stream has the number ``first`` here."""
        if window.streams is None:
            return window
        own = frozenset(number - first for number in window.streams if 0 <= number - first < len(reader.streams))
        return Window(window.begin, window.end, own)

    def _widened(self, batches: Iterator[Events], first: int) -> Iterator[Events]:
        """``batches`` with room for the arguments of any reader's events, and streams as they are numbered here."""
        dtype = event_dtype(self.num_args)
        for events in batches:
            rows = np.zeros(len(events), dtype)
            for field in dtype.names or ():
                if field != "args":
                    rows[field] = events[field]
            rows["args"][:, : events["args"].shape[1]] = events["args"]
            rows["stream"] += np.uint32(first)
            yield rows


class _Unread:
    """The events of one reader that have not been taken yet."""

    def __init__(self, batches: Iterator[Events]) -> None:
        self._batches = batches
        self._events: Events | None = None

    def ready(self) -> bool:
        """Have at least one event at hand; False if there is none any more."""
        while self._events is None or not len(self._events):
            self._events = next(self._batches, None)
            if self._events is None:
                return False
        return True

    @property
    def last(self) -> int:
        """The time of the last event at hand."""
        assert self._events is not None
        return int(self._events["time"][-1])

    def take(self, horizon: int) -> Events:
        """The events at hand up to ``horizon``, ns, and that one too."""
        assert self._events is not None
        count = int(np.searchsorted(self._events["time"], np.uint64(horizon), side="right"))
        taken, self._events = self._events[:count], self._events[count:]
        return taken
