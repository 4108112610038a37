"""All benches, in the order of the tables."""

from __future__ import annotations

from bench.cases import (
    answers,
    boot,
    calls,
    first_events,
    floor,
    formats,
    google_benchmark,
    htrun_events,
    hyperfine,
    languages,
    lttng,
    machine_events,
    ptrace_loop,
    recorded_calls,
    sigsegv_handler,
    startup,
    sustained,
    trace_marker,
    traced_programs,
    uprobe,
)
from bench.model import Bench


def every_bench() -> list[Bench]:
    """All benches. The benches of a group are consecutive, and its baseline comes first."""
    return [
        floor.Floor(threads=1),
        floor.Floor(threads=2),
        *htrun_events.benches(),
        *machine_events.benches(),
        lttng.LttngEvent(threads=1),
        lttng.LttngEvent(threads=2),
        trace_marker.TraceMarker(),
        uprobe.Uprobe(nop_bytes=5),
        uprobe.Uprobe(nop_bytes=1),
        sigsegv_handler.SigsegvHandler(),
        ptrace_loop.PtraceLoop(processors=1),
        ptrace_loop.PtraceLoop(processors=2),
        *startup.benches(),
        *first_events.benches(),
        *boot.benches(),
        *calls.benches(),
        *traced_programs.benches(),
        *recorded_calls.benches(),
        *languages.benches(),
        *sustained.benches(),
        *formats.benches(),
        *answers.benches(),
        *google_benchmark.benches(),
        *hyperfine.benches(),
    ]
