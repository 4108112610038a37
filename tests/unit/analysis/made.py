"""Traces that htrun's writer has written. All their events are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from htrun.ctf.clock_file import NAME
from htrun.ctf.writer import CtfTrace
from htrun.events.clock import Clock, Fit, Sample
from htrun.events.records import record_dtype
from htrun.events.stream import Stream

FACTS: Mapping[str, str | int] = {"tracer_name": "htrun", "htrun_version": "1.0.0", "command": "app", "hostname": "box"}


class FixedSource:
    """A clock of 1 GHz that started in 1970: a tick is a nanosecond, and the current time is later than any event."""

    name = "fixed"

    def read(self) -> int:
        """A time after all events of these traces."""
        return 1 << 62

    def sample(self, clock_id: int) -> Sample:
        """A sample without an error."""
        return Sample(self.read(), self.read(), self.read())


class FixedClock(Clock):
    """See `FixedSource`. ``fitted``: the clock's fit in the metadata."""

    fitted = Fit(1_000_000_000, 0, 0, 0)

    def fit(self) -> Fit:
        """Always the same fit."""
        return self.fitted


@dataclass
class Made:
    """A trace in the directory ``path``. Write packets, and then call ``close``. ``clock``: the name of its clock."""

    path: Path
    num_args: int = 2
    facts: Mapping[str, str | int] = field(default_factory=lambda: FACTS)
    fitted: Fit = FixedClock.fitted
    clock: str = FixedSource.name

    def __post_init__(self) -> None:
        source = FixedSource()
        source.name = self.clock
        clock = FixedClock(source)
        clock.fitted = self.fitted
        self._numbers: dict[Stream, int] = {}
        self._trace = CtfTrace.create(self.path, self.num_args, clock, self.facts)

    def packet(
        self,
        stream: Stream,
        times: Sequence[int] | NDArray[np.uint64],
        args: Sequence[Sequence[int]] | NDArray[np.uint64] | None = None,
        *,
        discarded: int = 0,
        index: int = 0,
        site: int = 0,
    ) -> Made:
        """Write a packet of events at ``times``. Without ``args``, the first argument is the event's time, and the
        others are 0."""
        records = np.zeros(len(times), record_dtype(self.num_args, stream.big_endian))
        records["timestamp"], records["index"], records["site"] = times, index, site
        if args is None:
            records["args"][:, 0] = times
        else:
            records["args"] = np.array(args, np.uint64)
        number = self._numbers.setdefault(stream, len(self._numbers))
        self._trace.write_packet(number, stream, records.view("u1").data, discarded)
        return self

    def close(self) -> Path:
        """Finish the trace; returns its directory. Readings of a made-up clock say nothing about the host's clocks."""
        self._trace.close()
        (self.path / NAME).unlink()
        return self.path
