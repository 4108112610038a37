"""Two threads emit without a pause, to a trace in memory. Measures the number of events that reach the trace in a
second, and the number of lost events."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench import htrun, lttng
from bench.groups import SUSTAINED
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample, UnavailableError
from bench.workshop import MEMORY, Plan, Workshop, needs_processors

_EVENTS, _QUICK_EVENTS = 50_000_000, 2_000_000
_RING_SIZE = "32M"
"""The ring size for each thread. LTTng-UST gets the same memory for each processor."""
_BYTES_EACH = 64
"""An upper limit of the number of bytes that any of these tracers writes for an event."""


def _plan(shop: Workshop) -> Plan:
    """A plan with all events in one burst. Raises `UnavailableError` if the machine has too little memory for them."""
    needs_processors(2)
    events = _QUICK_EVENTS if shop.quick else _EVENTS
    need = events * _BYTES_EACH
    free = min(psutil.disk_usage(str(MEMORY)).free, psutil.virtual_memory().available // 2)
    if free < need:
        raise UnavailableError(f"needs {need >> 20} MiB of {MEMORY}, has {free >> 20}")
    return Plan(events=events // 2, bursts=1, warmup=0, pause_us=0, singles=0, threads=2)


def _sample(emitted: int, lost: int, seconds: float, guest_ns: float, counted: int) -> Sample:
    """The figures of a run.

    Raises `FailedError` if the number of events in the trace differs from the number that the tracer reports.
    """
    if counted != emitted - lost:
        raise FailedError(f"{emitted} events emitted, {lost} reported as lost, but babeltrace2 counts {counted}")
    facts = {"emitted": emitted, "lost": lost, "in the trace": counted, "seconds": seconds, "ns per event": guest_ns}
    return Sample(counted / seconds / 1e6, facts=facts)


def _count(shop: Workshop, trace: Path) -> int:
    """The number of events in a CTF trace, counted by babeltrace2, which reads them all."""
    output = shop.call(["babeltrace2", str(trace), "--component=sink.utils.counter", "--params=step=+0"])
    found = re.search(r"(\d+) Event message", output)
    if found is None:
        raise FailedError(f"babeltrace2 printed no count: {output[-500:]!r}")
    return int(found[1])


def _needs_babeltrace() -> None:
    if shutil.which("babeltrace2") is None:
        raise UnavailableError("no babeltrace2: apt-get install babeltrace2")


class SustainedHtrun(Bench):
    """htrun with a native trace. The guest waits if a ring is full, so no event may be lost.

    ``rings``: whether the guest library writes the records to rings. Otherwise its stores are patched.
    """

    group = SUSTAINED
    tags = frozenset({"sustained", "htrun"})

    def __init__(self, *, rings: bool) -> None:
        self.name = "sustained-htrun-rings" if rings else "sustained-htrun"
        self.title = "htrun, native, rings, CTF trace" if rings else "htrun, native, CTF trace"
        self._rings = rings

    def prepare(self, shop: Workshop) -> Run:
        _needs_babeltrace()
        plan = _plan(shop)
        htrun.works()
        guest = shop.build_guest("guests/emit.c")
        if not self._rings and not htrun.patches(shop, [str(guest)]):
            raise FailedError("the guest's site is not patched: so many traps would take half an hour")

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                via = "ring" if self._rings else "store"
                traced = htrun.traced(directory, f"--ring-size={_RING_SIZE}", f"--via={via}")
                begin = time.perf_counter()
                sample = shop.measure([*traced.words, str(guest)], plan)
                seconds = time.perf_counter() - begin
                traced.account().check(plan.emitted)
                return _sample(plan.emitted, 0, seconds, sample.value, _count(shop, traced.trace))

        return run


class SustainedLttng(Bench):
    """LTTng-UST, timed until its consumer has written all events.

    ``blocking``: whether the program waits if a buffer is full.
    """

    group = SUSTAINED

    def __init__(self, *, blocking: bool) -> None:
        self.name = "sustained-lttng-blocking" if blocking else "sustained-lttng"
        self.title = "LTTng-UST, blocking" if blocking else "LTTng-UST"
        self.tags = frozenset({"sustained", "lttng"})
        self._blocking = blocking

    def prepare(self, shop: Workshop) -> Run:
        _needs_babeltrace()
        plan = _plan(shop)
        session = lttng.open_session(shop, blocking=self._blocking)

        def run() -> Sample:
            begin = time.perf_counter()
            sample = shop.measure([str(session.program)], plan, session.environment, session.user)
            session.command("stop", "bench")
            seconds = time.perf_counter() - begin
            counted = _count(shop, session.output / "trace")
            return _sample(plan.emitted, session.discarded(), seconds, sample.value, counted)

        return run


def benches() -> Iterator[Bench]:
    """The benches of LTTng-UST in both modes, then of htrun in both ways."""
    yield SustainedLttng(blocking=False)
    yield SustainedLttng(blocking=True)
    yield SustainedHtrun(rings=False)
    yield SustainedHtrun(rings=True)
