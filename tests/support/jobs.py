"""Traces of a single thread that does several jobs, one after the other. The test chooses the duration of each job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from htrun.events.stream import Stream
from tests.unit.analysis.made import FACTS, Made

BEGIN = 1_700_000_000_000_000_000
"""The time at which the first job begins, in ns since the epoch."""
PAUSE = 1000
"""The time between two jobs, in ns."""
MAIN = Stream(10, 10, 0, "main")
NAMES = """\
[[event]]
id = 1
name = "job"
phase = "begin"
[[event]]
id = 2
name = "job"
phase = "end"
"""
MATRIX = """\
[[program]]
name = "jobs"
command = "{prefix} ./app"

[[emulator]]
name = "plain"
prefix = ""

[[emulator]]
name = "env"
prefix = "env"
"""
"""A matrix for hypertrace bench: the program ``./app``, which does such jobs, is run directly and by env(1)."""


def trace_of_jobs(
    path: Path,
    durations: Sequence[int] = (1000,) * 100,
    num_args: int = 1,
    *,
    facts: Mapping[str, str | int] | None = None,
    clock: str = "tsc",
) -> None:
    """Write a trace to the directory ``path``, with one job for each of ``durations`` (ns). ``facts``: additional facts
    of the trace."""
    times: list[int] = []
    now = BEGIN
    for duration in durations:
        times += [now, now + duration]
        now += duration + PAUSE
    unused = [0] * (num_args - 1)
    args = [[1, *unused], [2, *unused]] * len(durations)
    Made(path, num_args, {**FACTS, **(facts or {})}, clock=clock).packet(MAIN, times, args).close()
