"""The cost of tracing for a program's signals, threads, processes and mappings, compared with strace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path

from bench import htrun, strace
from bench.groups import TRACED
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample
from bench.workshop import MEMORY, Plan, Workshop

_PLANS = {
    "signal": Plan(events=50),
    "masks": Plan(events=200),
    "thread": Plan(events=10),
    "fork": Plan(events=100),
    "exec": Plan(events=3),
    "fault": Plan(events=50),
    "file-map": Plan(events=50),
}
"""The bursts of each program. ``events``: the number of times that the program does its work in a burst. Processes are
created in long bursts, since the first few after a pause cost the most.
"""
_EVENTS = ("thread", "fork", "exec")
"""The programs whose threads or children emit events in one of the benches."""


_CALLS = {"file-map": "mmap,munmap"}
"""The calls that strace records: those at which htrun must also stop the program.

For other programs, strace records a call that the program does not make.
"""


class Under(Enum):
    """The tool under which the program runs. The value is the title of the bench."""

    STRACE = "strace -f --seccomp-bpf"
    ALONE = "alone"
    HTRUN = "htrun, no channel"
    CHANNEL = "htrun, a channel"
    EVENTS = "htrun, a channel and events"

    @property
    def channel(self) -> int:
        """The number that ``traced.c`` has for the program's use of a channel."""
        return {Under.CHANNEL: 1, Under.EVENTS: 2}.get(self, 0)


class Traced(Bench):
    """A program of ``traced.c`` under a tool. ``number``: the number of the program's work in ``traced.c``."""

    def __init__(self, name: str, number: int, under: Under) -> None:
        self.group = TRACED[name]
        self.name = name if under is Under.ALONE else f"{name}-{under.name.lower()}"
        self.title = under.value
        self.tags = frozenset({"traced", name})
        self._business = name
        self._number = number
        self._under = under

    def prepare(self, shop: Workshop) -> Run:
        flags = (f"-DBUSINESS={self._number}", f"-DCHANNEL={self._under.channel}")
        program = str(shop.build_guest("guests/traced.c", *flags, name=f"traced-{self.name}"))
        plan = shop.plan(replace(_PLANS[self._business], bursts=20, warmup=3, pause_us=0, singles=0))

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                return self._measure(shop, program, plan, directory)

        return run

    def _measure(self, shop: Workshop, program: str, plan: Plan, directory: Path) -> Sample:
        match self._under:
            case Under.ALONE:
                sample = shop.measure([program], plan)
            case Under.STRACE:
                log = directory / "log"
                sample = shop.measure([*strace.command(_CALLS.get(self._business, "getppid"), log), program], plan)
                if not log.exists():
                    raise FailedError("strace wrote nothing")
            case _:
                traced = htrun.traced(directory)
                sample = shop.measure([*traced.words, program], plan)
                traced.account().check({0: 0, 1: 1, 2: 1 + plan.emitted}[self._under.channel])
        return Sample(sample.value / 1e3)


def benches() -> Iterator[Bench]:
    """The benches of each kind of work: under strace, alone, and under htrun in several ways."""
    for number, name in enumerate(TRACED, start=1):
        for under in Under:
            if under is not Under.EVENTS or name in _EVENTS:
                yield Traced(name, number, under)
