"""Programs with very many threads: no event is lost, and neither the number of files nor the tracer's memory grows with
each thread."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import htrun as htrun_package
from tests.support.requirements import require_tool
from tests.support.run import Htrun
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"
LIVING, MORE = 1100, 1000


def test_a_trace_of_many_threads_has_few_files(toolchain: Toolchain, htrun: Htrun) -> None:
    """The number of simultaneous threads is larger than the number of files that a reader may open. Further threads
    follow one after the other."""
    program = toolchain.compile(_GUESTS / "many_threads.c")
    path = htrun.directory / "trace"
    channel = ("--hypertrace", f"{htrun.channel},max-clients=4096")
    htrun.run(program, str(LIVING), str(MORE), options=(*channel, "-o", path)).check()
    trace = htrun_package.open(path)
    own = Counter((event.stream.tid, event.args[0], event.args[1]) for event in trace)
    assert len({tid for tid, _, _ in own}) == LIVING + MORE
    assert Counter(own.values()) == {2: 3 * LIVING, 1: 3 * MORE}
    order = [(event.stream.tid, event.args[1]) for event in trace]
    assert sorted(order, key=lambda event: event[0]) == [
        (tid, number % 3) for tid in sorted({tid for tid, _ in order}) for number in range(_count(own, tid))
    ]
    files = list(path.glob("stream-*"))
    assert len(files) < 100
    assert sum(file.stat().st_blocks * 512 for file in files) < len(order) * 400
    command: list[str | Path] = ["prlimit", "--nofile=256", require_tool("babeltrace2", "babeltrace2"), str(path)]
    read = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (read.stdout.count("guest_hypertrace:"), read.stderr) == (len(order), "")


def _count(own: Counter[tuple[int, int, int]], tid: int) -> int:
    return sum(count for (thread, _, _), count in own.items() if thread == tid)
