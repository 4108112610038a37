"""Reads events from a file of comma-separated values: the columns ``time_ns,tid,arg1,arg2``, whose names are the first
line, and then a line for each event, in order of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from htrun.ctf.reader import within
from htrun.errors import HtrunError
from htrun.events.definitions import DEFINITIONS, HYPERTRACE
from htrun.events.records import event_dtype
from htrun.events.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from htrun.events.definitions import Definition
    from htrun.events.losses import Loss
    from htrun.events.records import Events
    from htrun.events.window import Window

_ARGUMENTS = 2
_COLUMNS = "time_ns,tid,arg1,arg2"


class CsvReader:
    """A file of events as comma-separated values; see `TraceReader`."""

    kinds: tuple[Definition, ...] = (HYPERTRACE,)
    clock_frequency = 1_000_000_000
    channel_args = num_args = _ARGUMENTS
    losses: Sequence[Loss] = ()

    def __init__(self, path: Path, rows: np.ndarray[tuple[int, int], np.dtype[np.uint64]]) -> None:
        self.path = path
        self.description: Mapping[str, str | int] = {"command": path.name}
        threads, places = np.unique(rows[:, 1], return_inverse=True)
        self.streams = [Stream(int(tid), int(tid)) for tid in threads]
        self.discarded = [0] * len(self.streams)
        self._events = np.zeros(len(rows), event_dtype(_ARGUMENTS))
        self._events["time"], self._events["stream"], self._events["args"] = rows[:, 0], places, rows[:, 2:]
        self._events["kind"] = DEFINITIONS.index(HYPERTRACE)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether ``path`` is called as such a file."""
        return path.suffix == ".csv"

    @classmethod
    def open(cls, path: Path, _warn: Callable[[str], None]) -> CsvReader:
        """Open the file ``path``. Raises `HtrunError`."""
        try:
            with path.open(encoding="utf-8") as file:
                if (head := file.readline().strip()) != _COLUMNS:
                    raise HtrunError(f"cannot read {path}: its first line is {head!r}, not {_COLUMNS!r}")
                return cls(path, np.loadtxt(file, np.uint64, delimiter=",", ndmin=2).reshape(-1, 2 + _ARGUMENTS))
        except (OSError, ValueError) as error:
            raise HtrunError(f"cannot read {path}: {error}") from error

    @property
    def count(self) -> int:
        """The number of events."""
        return len(self._events)

    @property
    def duration(self) -> tuple[int, int] | None:
        """The times of the first and the last event; None if there are no events."""
        times = self._events["time"]
        return (int(times[0]), int(times[-1])) if len(times) else None

    def batches(self, window: Window, size: int) -> Iterator[Events]:
        """The events of ``window`` in order of time, in batches of ``size``."""
        events = within(self._events, window)
        if window.streams is not None:
            events = events[np.isin(events["stream"], list(window.streams))]
        for start in range(0, len(events), size):
            yield events[start : start + size]
