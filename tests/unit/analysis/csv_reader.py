"""A reader of another kind of recording: a CSV file whose lines contain time, tid, comm, index and arg1."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from htrun.errors import HtrunError
from htrun.events.definitions import DEFINITIONS, HYPERTRACE, Definition
from htrun.events.losses import Loss
from htrun.events.records import event_dtype
from htrun.events.stream import Stream
from htrun.events.window import Window

if TYPE_CHECKING:
    from htrun.events.records import Events


class CsvReader:
    """A `TraceReader`, whose class is a `RecordingKind`."""

    description: Mapping[str, str | int] = {"command": "made by hand"}
    clock_frequency = 1_000_000_000
    kinds: tuple[Definition, ...] = (HYPERTRACE,)
    channel_args = num_args = 1
    losses: Sequence[Loss] = ()

    def __init__(self, path: Path, rows: Sequence[Sequence[str]]) -> None:
        self.path = path
        threads = [Stream(int(tid), int(tid), comm=comm) for _, tid, comm, _, _ in rows]
        self.streams: Sequence[Stream] = list(dict.fromkeys(threads))
        self.discarded: Sequence[int] = [0] * len(self.streams)
        self.count = len(rows)
        self._events = np.zeros(len(rows), event_dtype(1))
        self._events["time"] = [int(row[0]) for row in rows]
        self._events["stream"] = [self.streams.index(thread) for thread in threads]
        self._events["index"] = [int(row[3]) for row in rows]
        self._events["kind"] = DEFINITIONS.index(HYPERTRACE)
        self._events["args"][:, 0] = [int(row[4], 0) for row in rows]

    @property
    def duration(self) -> tuple[int, int] | None:
        """The times of the first line and the last."""
        times = self._events["time"].tolist()
        return (times[0], times[-1]) if times else None

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the name ends in ``.csv``."""
        return path.suffix == ".csv"

    @classmethod
    def open(cls, path: Path, warn: Callable[[str], None]) -> CsvReader:
        """Other lines are left out, with a warning."""
        try:
            rows = list(csv.reader(path.read_text().splitlines()))
        except OSError as error:
            raise HtrunError(f"cannot read {path}: {error.strerror}") from error
        whole = [row for row in rows if len(row) == 5]
        if len(whole) < len(rows):
            warn(f"{path}: {len(rows) - len(whole)} lines make no sense")
        return cls(path, whole)

    def batches(self, window: Window, size: int) -> Iterator[Events]:
        """See `TraceReader`."""
        events = self._events
        wanted = (events["time"] >= window.begin) & (events["time"] < np.uint64(window.end))
        if window.streams is not None:
            wanted &= np.isin(events["stream"], list(window.streams))
        events = events[wanted]
        for start in range(0, len(events), size):
            yield events[start : start + size]
