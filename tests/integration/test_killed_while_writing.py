"""SIGKILL at any moment leaves a trace that readers accept, with every packet that was written.

``HTRUN_KILLS=3000 pytest tests/integration/test_killed_while_writing.py`` kills 3,000 times instead of forty times.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from htrun.ctf.writer import CtfTrace
from htrun.events.clock import Clock
from htrun.events.records import record_dtype
from htrun.events.stream import Stream
from htrun.hosts.x86_64.counter import best_clock
from tests.property.compare import read_trace
from tests.support.requirements import require_tool
from tests.support.run import HTRUN, tracer_of
from tests.support.toolchain import Toolchain
from tests.support.waiting import wait_until

KILLS = int(os.environ.get("HTRUN_KILLS", "40"))
RUNS = max(4, KILLS // 30)
NUM_ARGS = 4
MOST = 300_000
"""The number of records of one thread: about 14 MB, in several files."""
GUESTS = Path(__file__).parent / "guests"


def write_for_ever(path: Path, clock: Clock, sizes: random.Random, written: int) -> None:
    """Write packets of two threads until killed, and a byte to ``written`` for each complete packet."""
    trace = CtfTrace.create(path, NUM_ARGS, clock, {})
    count = 0
    while count < MOST:
        records = np.zeros(sizes.choice([1, 50, 85, 1000, 1365, 5000]), record_dtype(NUM_ARGS, False))
        records["args"][:, 0] = np.arange(count, count + len(records))
        for tid in (1, 2):
            records["timestamp"] = clock.source.read()
            trace.write_packet(tid, Stream(tid, 1), records.view("u1").data, 0)
        os.write(written, len(records).to_bytes(4, "little"))
        count += len(records)
    signal.pause()


def killed(path: Path, clock: Clock, chance: random.Random) -> int:
    """Kill a process that writes a trace; returns how many records of each thread it had written."""
    said, written = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write_for_ever(path, clock, chance, written)
        finally:
            os._exit(1)
    os.close(written)
    first = os.read(said, 4)
    time.sleep(chance.uniform(0, 0.02))
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    with os.fdopen(said, "rb") as pipe:
        return int(np.frombuffer(first + pipe.read(), "<u4").sum())


def accepted(path: Path) -> int:
    """The number of events that babeltrace2 finds, after a check that it reports no error and no missing event."""
    babeltrace = require_tool("babeltrace2", "babeltrace2")
    done = subprocess.run(
        [babeltrace, path, "--component=sink.utils.counter", "--params=step=+0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line]
    # babeltrace2 writes "1 Event message" and "2 Event messages".
    counts = {what.removesuffix("s"): count for count, what in lines}
    assert counts["Discarded packet message"] == counts["Discarded event message"] == "0"
    return int(counts["Event message"])


def test_a_writer_killed_at_any_moment(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance, clock = random.Random(seed), best_clock()
    for _ in range(KILLS):
        least = killed(tmp_path / "trace", clock, chance)
        streams = read_trace(tmp_path / "trace", NUM_ARGS)
        for stream in streams:
            assert len(stream.records) >= least, f"seed {seed}"
            assert bool((stream.records["args"][:, 0] == np.arange(len(stream.records))).all()), f"seed {seed}"
        assert accepted(tmp_path / "trace") == sum(len(stream.records) for stream in streams), f"seed {seed}"
        shutil.rmtree(tmp_path / "trace")


def has_events(process: subprocess.Popen[bytes], trace: Path) -> bool:
    """Whether ``process``, which must still be running, has written events to ``trace``: a stream's file gets its name
    with the first of them. The file is not read, because it may be truncated at the same time."""
    assert process.poll() is None
    return any(trace.glob("stream-*"))


@pytest.mark.parametrize("options", [(), ("--ring-size", "64K")], ids=["usual rings", "small rings"])
def test_a_run_killed_at_any_moment(options: tuple[str, ...], toolchain: Toolchain, tmp_path: Path) -> None:
    """The trace contains the events of each thread from the first event on, without duplicates and gaps."""
    program = toolchain.compile(GUESTS / "property_burst.c")
    for number in range(RUNS // 2):
        trace = tmp_path / f"trace{number}"
        command: list[str | Path] = [
            HTRUN,
            "--hypertrace",
            tmp_path / "channel",
            "-o",
            trace,
            *options,
            "--",
            program,
            "1000000000",
            "2",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            wait_until(partial(has_events, process, trace), "events in the trace")
            time.sleep(random.uniform(0, 0.05))
            os.kill(tracer_of(process.pid), signal.SIGKILL)
            assert process.wait(240) == -signal.SIGKILL
        streams = read_trace(trace, NUM_ARGS)
        for stream in streams:
            assert bool((stream.records["args"][:, 0] == np.arange(len(stream.records))).all())
        assert accepted(trace) == sum(len(stream.records) for stream in streams) > 0
        shutil.rmtree(trace)
