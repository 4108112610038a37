"""Measures how fast traces are read and written: ``python -m bench.format_rates WHAT TRACE OUT``.

WHAT is ``numpy`` (read TRACE), ``ctf`` (write a trace from records in memory, as a run does), or a format: TRACE is
then read in order of time and written in this format. The program prints one line of JSON with the member ``ns``: the
time for each event in ns, from opening TRACE to the end of writing. The start of Python and the import of packages are
not counted.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from htrun import hosts
from htrun.analysis.trace import Trace
from htrun.commands.convert import facts_of
from htrun.ctf.writer import CtfTrace
from htrun.events.clock import Clock
from htrun.events.records import record_dtype
from htrun.events.stream import Stream
from htrun.sinks.registry import by_name

if TYPE_CHECKING:
    from htrun.events.records import Records

NUM_ARGS, _THREADS, _PACKET = 4, 4, 1365
"""The number of arguments of an event, of threads, and of records of 48 bytes in a packet (the same as with rings of
the default size)."""


def write_trace(path: Path, events: int) -> None:
    """Write a trace of at least ``events`` events from four threads, which emit alternately."""
    clock = hosts.current().best_clock()
    _write(CtfTrace.create(path, NUM_ARGS, clock, {"tracer_name": "htrun"}), clock, events)


def _write(trace: CtfTrace, clock: Clock, events: int) -> float:
    """Write the events. Returns the time that writing took, in seconds."""
    streams = [Stream(100 + thread, 100 + thread // 2, thread, f"thread{thread}") for thread in range(_THREADS)]
    records = np.zeros(_PACKET, record_dtype(NUM_ARGS, big_endian=False))
    taken = 0.0
    for number in range(-(-events // (_THREADS * _PACKET))):
        for thread, stream in enumerate(streams):
            _fill(records, number, thread, clock)
            begin = time.perf_counter()
            trace.write_packet(thread, stream, records.view("u1").data, 0)
            taken += time.perf_counter() - begin
    begin = time.perf_counter()
    trace.close()
    return taken + time.perf_counter() - begin


def _fill(records: Records, number: int, thread: int, clock: Clock) -> None:
    places = np.arange(number * _PACKET, (number + 1) * _PACKET, dtype=np.uint64)
    # The times are in the past. Events of different threads alternate.
    now = np.uint64(clock.source.read() - _PACKET * 10)
    records["timestamp"] = now + np.arange(_PACKET, dtype=np.uint64) * np.uint64(10)
    records["site"], records["index"] = thread, thread
    records["args"][:, 0], records["args"][:, 1] = places % np.uint64(8), places
    records["args"][:, 2], records["args"][:, 3] = thread, places * np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Taken:
    """The number of ``events``, and the time in ``seconds`` that they took."""

    seconds: float
    events: int


def _read(trace: Path) -> Taken:
    begin = time.perf_counter()
    count = sum(len(events) for events in Trace.open(trace).events())
    return Taken(time.perf_counter() - begin, count)


def _write_native(trace: Path, out: Path) -> Taken:
    count, clock = len(Trace.open(trace)), hosts.current().best_clock()
    return Taken(_write(CtfTrace.create(out, NUM_ARGS, clock, {}), clock, count), count)


def _convert(name: str, path: Path, out: Path) -> Taken:
    """Convert a trace in the same way as ``hypertrace convert``."""
    chosen = by_name(name)
    # Import modules now that would otherwise be imported during the measurement.
    import_module(chosen.module)
    import_module("pyarrow.parquet")
    begin = time.perf_counter()
    trace = Trace.open(path)
    sink = chosen.open(out, facts_of(trace, decode=False))
    for events in trace.events():
        sink.write(events, trace.streams)
    sink.close()
    return Taken(time.perf_counter() - begin, len(trace))


def main(what: str, trace: Path, out: Path) -> None:
    """Measure, and print the figures."""
    match what:
        case "numpy":
            taken = _read(trace)
        case "ctf":
            taken = _write_native(trace, out)
        case _:
            taken = _convert(what, trace, out)
    print(json.dumps({"ns": taken.seconds / taken.events * 1e9}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
