"""Makes a trace like that of docs/examples/server on an idle machine, with a known time for each event."""

from __future__ import annotations

from pathlib import Path

from htrun.events.stream import Stream
from tests.support.spans import BEGIN
from tests.support.toolchain import ROOT
from tests.unit.analysis.made import FACTS, Made

SERVER = ROOT / "docs" / "examples" / "server"
REQUESTS = 200
SLOWEST = 150
"""The number of the slowest request, which waits for the longest checkpoint."""
_MAIN, _CHECKPOINTER, _WORKERS = 0, 5, (1, 2, 3, 4)
_TIDS = (4711, 4712, 4713, 4714, 4715, 4716)
_NAMES = ("server", "worker", "worker", "worker", "worker", "checkpointer")
_CHECKPOINTS = ((5_020_000, 1_000_000), (10_020_000, 3_000_000), (15_020_000, 5_000_000))
"""For each checkpoint: the time at which it takes the lock, or waits for the lock if another thread holds it, and the
time for which it holds the lock, in ns."""


def trace_of_server(path: Path) -> Path:
    """Write the trace to the directory ``path``."""
    made = Made(path, 3, {**FACTS, "command": "./server", "named_events": (SERVER / "server.toml").read_text()})
    for thread, events in enumerate(_events()):
        stream = Stream(_TIDS[thread], _TIDS[0], thread, _NAMES[thread])
        events.sort()
        times = [BEGIN + time for time, _ in events]
        made.packet(stream, times, [list(args) for _, args in events], site=thread + 1)
    return made.close()


def _events() -> list[list[tuple[int, tuple[int, int, int]]]]:
    """The events of each thread, each as its time and its arguments ``arg1`` to ``arg3``."""
    events: list[list[tuple[int, tuple[int, int, int]]]] = [[] for _ in _TIDS]
    free = dict.fromkeys(_WORKERS, 0)
    checkpoints, lock_free = list(_CHECKPOINTS), 0
    for number in range(REQUESTS):
        arrived = 1_000 + 100_000 * number
        worker = min(_WORKERS, key=lambda each: free[each])
        begun = max(arrived + 3_000, free[worker])
        size = 2_000 + number * 7_919 % 20_000
        worked = begun + 2 * size
        if checkpoints and worked >= checkpoints[0][0]:
            due, length = checkpoints.pop(0)
            held = max(due, lock_free)
            lock_free = held + length
            events[_CHECKPOINTER] += [(held, (9, 0, 0)), (lock_free, (10, 0, 0))]
        got = max(worked + 40, lock_free + 900)
        lock_free = got + 2_100
        free[worker] = lock_free + 200
        events[_MAIN] += [(arrived, (1, number, 0))]
        events[worker] += [
            (begun, (3, number, size)), (worked, (4, 0, 0)), (worked + 10, (5, 0, 0)), (got, (6, 0, 0)),
            (got + 40, (7, 0, 0)), (got + 2_000, (8, 0, 0)), (free[worker], (2, number, 0)),
        ]  # fmt: skip
    return events
