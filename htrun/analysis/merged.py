"""A reader that merges several recordings into one sequence of events, in order of time."""

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
    """A `TraceReader` that returns the events of one or more other readers. Single values, such as the path and the
    facts of the run, are those of the first reader.

    Streams are numbered consecutively: the first stream of the second reader follows the last of the first.
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
        """The times of the earliest and of the latest event of all readers."""
        found = [duration for reader in self._readers if (duration := reader.duration) is not None]
        return (min(begin for begin, _ in found), max(end for _, end in found)) if found else None

    @property
    def losses(self) -> Sequence[Loss]:
        """The losses of all readers."""
        return [
            Loss(loss.stream + first, loss.begin, loss.end, loss.events)
            for reader, first in zip(self._readers, self._first_streams, strict=True)
            for loss in reader.losses
        ]

    def batches(self, window: Window, size: int) -> Iterator[Events]:
        """The events of all readers, in order of time. Events of the same reader with equal times keep their order. The
        order of events of different readers with equal times is unspecified."""
        sources = [
            _Unread(self._widened(reader.batches(self._window_of(reader, first, window), size), first))
            for reader, first in zip(self._readers, self._first_streams, strict=True)
        ]
        while sources := [source for source in sources if source.ready()]:
            # No reader will return further events up to this time.
            horizon = min(source.last for source in sources)
            yield merge([source.take(horizon) for source in sources])

    def _window_of(self, reader: TraceReader, first: int, window: Window) -> Window:
        """``window`` with the stream numbers of ``reader``. ``first``: the number that the reader's first stream has in
        this object."""
        if window.streams is None:
            return window
        own = frozenset(number - first for number in window.streams if 0 <= number - first < len(reader.streams))
        return Window(window.begin, window.end, own)

    def _widened(self, batches: Iterator[Events], first: int) -> Iterator[Events]:
        """``batches`` with room for `num_args` arguments in each row, and with streams renumbered."""
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
    """The events of one reader that have not been consumed yet."""

    def __init__(self, batches: Iterator[Events]) -> None:
        self._batches = batches
        self._events: Events | None = None

    def ready(self) -> bool:
        """Make at least one event available; False if there are no more."""
        while self._events is None or not len(self._events):
            self._events = next(self._batches, None)
            if self._events is None:
                return False
        return True

    @property
    def last(self) -> int:
        """The time of the last available event."""
        assert self._events is not None
        return int(self._events["time"][-1])

    def take(self, horizon: int) -> Events:
        """The available events up to and including the time ``horizon``, in ns."""
        assert self._events is not None
        count = int(np.searchsorted(self._events["time"], np.uint64(horizon), side="right"))
        taken, self._events = self._events[:count], self._events[count:]
        return taken
