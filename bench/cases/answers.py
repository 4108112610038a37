"""Queries on a trace: the time of the whole command, from the start of its process to its exit, and the memory that it
needs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import htrun
from bench.groups import ANSWERS
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample
from bench.workshop import SOURCE, Workshop

_EVENTS, _QUICK_EVENTS = 10_000_000, 2_000_000
_THREADS = 4
_SPANS = SOURCE / "guests" / "requests.toml"
QUESTIONS = {
    "stat": ("hypertrace stat", ("stat", "--no-histograms")),
    "slowest": ("hypertrace slowest", ("slowest",)),
    "query-tables": ("query: show tables", ("query", "show tables")),
    "query-time": (
        "query: the events of a millisecond",
        ("query", "select count(*) from events where seconds between 0.05 and 0.051"),
    ),
    "query-events": (
        "query: an aggregate over all events",
        ("query", "select name, count(*), max(arg2) from events group by name"),
    ),
    "query-spans": (
        "query: an aggregate over all spans",
        ("query", "select name, count(*), avg(duration) from spans group by name"),
    ),
}
"""The title of each bench, and the verb with its arguments, by the name of the bench. The trace is inserted as the
first argument."""


def _trace(shop: Workshop) -> Path:
    """The trace that all benches of the group read. The first bench records it."""
    path = shop.scratch / "requests"
    if not path.exists():
        guest = shop.build_guest("guests/requests.c")
        events = str(_QUICK_EVENTS if shop.quick else _EVENTS)
        shop.call([*htrun.command(), "-q", "--events", str(_SPANS), "-o", str(path), str(guest), str(_THREADS), events])
    return path


class Question(Bench):
    """One of `QUESTIONS`."""

    group = ANSWERS

    def __init__(self, name: str) -> None:
        self.name = name
        self.title, self._words = QUESTIONS[name]
        self.tags = frozenset({"answers"})

    def prepare(self, shop: Workshop) -> Run:
        trace = _trace(shop)
        events = _QUICK_EVENTS if shop.quick else _EVENTS
        verb, *rest = self._words
        command = [*htrun.hypertrace(), verb, str(trace), *rest]

        def run() -> Sample:
            seconds, megabytes = _measured(command)
            return Sample(events / seconds / 1e6, facts={"s": seconds, "MB": megabytes})

        return run


def _measured(command: Sequence[str]) -> tuple[float, float]:
    """The time in seconds that ``command`` takes, and the memory in MB that it needs. Raises `FailedError`."""
    begin = time.perf_counter()
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise FailedError(f"`{' '.join(command)}` ended with {process.returncode}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def benches() -> Iterator[Bench]:
    """A bench for each question."""
    yield from map(Question, QUESTIONS)
