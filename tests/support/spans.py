"""Makes traces with known spans of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from htrun.events.stream import Stream
from tests.unit.analysis.made import FACTS, Made

BEGIN = 1_700_000_000_000_000_000
NAMES = """\
[[event]]
id = 1
name = "request"
phase = "begin"
args = ["number:u64", "kind:enum:READ=0,WRITE=1"]

[[event]]
id = 2
name = "request"
phase = "end"
args = ["result:i64"]

[[event]]
id = 3
name = "parse"
phase = "begin"

[[event]]
id = 4
name = "parse"
phase = "end"

[[event]]
id = 5
name = "miss"
args = ["address:hex"]

[[event]]
id = 6
name = "queue"
phase = "counter"
args = ["depth:i64"]

[[event]]
id = 7
name = "job"
phase = "begin"
args = ["key:u64"]
key = "key"

[[event]]
id = 8
name = "job"
phase = "end"
args = ["key:u64"]
key = "key"
"""
_CYCLE = ((1, 0), (3, 200), (4, 2_200), (5, 3_000), (6, 3_100), (7, 3_200), (2, 0), (8, 0))
"""The events of one request: for each, the id of its name, and its time in ns since the start of the request.
`requests` computes the times of the last two events."""
PER_REQUEST = len(_CYCLE)
MINUS_FIVE = 2**64 - 5


def requests(count: int, seed: int = 1) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Make ``count`` requests. Returns the times of their events, the arguments of these events, and the duration of
    each request, in ns.

    Most requests take about 8 us, but every eighth takes about 30 us. A job begins in each request, and ends 1 us after
    the request.
    """
    rng = np.random.default_rng(seed)
    taken = rng.gamma(9, np.where(np.arange(count) % 8 == 7, 3000, 500)).astype(np.uint64) + np.uint64(4_000)
    pauses = rng.exponential(2_500, count).astype(np.uint64) + np.uint64(1_500)
    starts = np.cumsum(taken + pauses) - (taken + pauses)
    times = np.empty((count, PER_REQUEST), np.uint64)
    args = np.zeros((count, PER_REQUEST, 3), np.uint64)
    numbers = np.arange(count, dtype=np.uint64)
    for place, (name, after) in enumerate(_CYCLE):
        times[:, place] = starts + np.uint64(after)
        args[:, place, 0] = name
    times[:, 6] = starts + taken
    times[:, 7] = starts + taken + np.uint64(1_000)
    args[:, 0, 1], args[:, 0, 2] = numbers, numbers % 2
    args[:, 3, 1] = rng.integers(1 << 40, size=count)
    args[:, 4, 1] = np.cumsum(rng.integers(-2, 3, count)).astype(np.int64).view(np.uint64)
    args[:, 5, 1] = args[:, 7, 1] = numbers
    args[:, 6, 1] = np.where(numbers % 50 == 49, MINUS_FIVE, 200)
    return times.reshape(-1) + np.uint64(BEGIN), args.reshape(-1, 3), taken


def trace_of_requests(path: Path, events: int, threads: int = 4, *, names: str = NAMES) -> Path:
    """Write a trace to the directory ``path``, with exactly ``events`` events of ``threads`` threads of one process."""
    made = Made(path, 3, {**FACTS, "command": "./server --workers 4", "named_events": names})
    of_each = [events // threads + (number < events % threads) for number in range(threads)]
    for number, count in enumerate(of_each):
        times, args, _ = requests(-(-count // PER_REQUEST), number)
        # Jobs of different threads must have different keys.
        args[np.isin(args[:, 0], (7, 8)), 1] += np.uint64(number << 32)
        comm = "server" if number == 0 else f"worker-{number}"
        made.packet(Stream(100 + number, 100, number, comm), times[:count], args[:count].tolist(), site=number)
    return made.close()
