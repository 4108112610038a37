"""Millions of events, death by SIGKILL, output during the run, and the cost of an idle run.

``HTRUN_SUSTAINED_EVENTS=50000000 pytest tests/integration/test_sustained.py`` records 50,000,000 events (48 bytes each,
in memory) instead of two million.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.property.compare import read_trace
from tests.support.requirements import require_tool
from tests.support.run import HTRUN, Htrun, LogEvent, tracer_of
from tests.support.toolchain import Toolchain
from tests.support.waiting import PATIENCE, wait_until

GUESTS = Path(__file__).parent / "guests"
NUM_ARGS = 4
RECORD = 48
EVENTS = int(os.environ.get("HTRUN_SUSTAINED_EVENTS", "2000000"))
_AFTER_EVENTS = pytest.mark.heavy("ten seconds until htrun rests; it is tried without events, too")
CLOCKS_US = 10_000
"""The maximum difference of the converted time stamp counter from the clock that the program reads."""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory, if there is one with enough room."""
    room = shutil.disk_usage("/dev/shm").free if os.access("/dev/shm", os.W_OK) else 0
    where = "/dev/shm" if room > 2 * EVENTS * RECORD else None
    with tempfile.TemporaryDirectory(prefix="htrun-sustained-", dir=where) as name:
        yield Path(name)


def counted_by_babeltrace(trace: Path) -> int:
    """The number of events that babeltrace2 finds in a trace, which it must accept."""
    command: list[str | Path] = [require_tool("babeltrace2", "babeltrace2"), trace, "--component=sink.utils.counter"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # It prints running counts; the last line is the total.
    return [int(line.split()[0]) for line in done.stdout.splitlines() if "Event message" in line][-1]


def test_millions_of_events_of_two_threads_and_none_lost(htrun: Htrun, toolchain: Toolchain, memory: Path) -> None:
    each = EVENTS // 2
    program = toolchain.compile(GUESTS / "property_burst.c")
    result = htrun.run(program, str(each), "2", options=("-o", memory / "trace"), timeout=240 + EVENTS / 100_000)
    assert result.status == 0, result.stderr
    assert result.summary["events"] == 2 * each
    assert result.summary["lost"] == 0
    assert counted_by_babeltrace(memory / "trace") == 2 * each
    streams = read_trace(memory / "trace", NUM_ARGS)
    assert len(streams) == 2
    for stream in streams:
        assert bool((stream.records["args"][:, 0] == np.arange(each, dtype=np.uint64)).all())


@dataclass(frozen=True)
class Live:
    """A current run of ``property_live``. ``directory``: has its trace and counter."""

    process: subprocess.Popen[bytes]
    directory: Path

    def command(self, what: bytes) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(what)
        self.process.stdin.flush()

    def emit(self) -> None:
        """Emit one event. When this method returns, the event was emitted."""
        assert self.process.stdout is not None
        self.command(b"e")
        assert self.process.stdout.read(1) == b"e"

    @property
    def emitted(self) -> int:
        """Events so far."""
        counter = self.directory / "counter"
        return int.from_bytes(counter.read_bytes(), "little") if counter.exists() else 0

    @property
    def tracer(self) -> int:
        """The process id of the htrun that traces."""
        return tracer_of(self.process.pid)

    def recorded(self) -> list[int]:
        """The numbers of the events in the trace's complete packets, in order."""
        return [
            int(number)
            for stream in read_trace(self.directory / "trace", NUM_ARGS)
            for number in stream.records["args"][:, 0]
        ]


def is_stopped(pid: int) -> bool:
    """Whether each thread of a process is stopped by a signal."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


@contextmanager
def live(toolchain: Toolchain, directory: Path, *options: str | Path) -> Iterator[Live]:
    """Start ``property_live`` under htrun."""
    command: list[str | Path] = [HTRUN, "--hypertrace", directory / "channel", *options, "--"]
    command += [toolchain.compile(GUESTS / "property_live.c"), directory / "counter"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield Live(process, directory)
        finally:
            process.kill()


def test_a_program_that_is_killed_leaves_a_complete_trace(toolchain: Toolchain, tmp_path: Path) -> None:
    with live(toolchain, tmp_path, "-o", tmp_path / "trace") as run:
        run.command(b"f")
        wait_until(lambda: run.emitted > 300_000, "300,000 events")
        run.process.kill()
        assert run.process.wait(PATIENCE) == -signal.SIGKILL
        recorded, emitted = run.recorded(), run.emitted
        assert recorded == list(range(len(recorded)))
        assert emitted <= len(recorded) <= emitted + 1
        assert counted_by_babeltrace(tmp_path / "trace") == len(recorded)


def test_what_was_written_when_htrun_is_killed_can_be_read(toolchain: Toolchain, tmp_path: Path) -> None:
    with live(toolchain, tmp_path, "-o", tmp_path / "trace") as run:
        run.command(b"f")
        wait_until(lambda: run.emitted > 300_000, "more events than fit into a ring")
        # While files are being written or truncated, they may contain an incomplete packet.
        tracer = run.tracer
        os.kill(tracer, signal.SIGSTOP)
        wait_until(lambda: is_stopped(tracer), "a stopped htrun")
        before = run.recorded()
        os.kill(tracer, signal.SIGKILL)
        assert run.process.wait(PATIENCE) == -signal.SIGKILL
        recorded = run.recorded()
        assert recorded == before == list(range(len(recorded)))
        assert len(recorded) > 20_000
        assert counted_by_babeltrace(tmp_path / "trace") == len(recorded)


def test_each_line_of_a_live_log_is_there_while_the_program_runs(toolchain: Toolchain, tmp_path: Path) -> None:
    with live(toolchain, tmp_path) as run:
        assert run.process.stderr is not None
        emitted: list[int] = []
        for number in range(40):
            run.emit()
            emitted.append(time.time_ns() // 1000)
            if number % 10 == 9:
                # Meanwhile the program waits for the next command, so these lines do not appear because of a later
                # event.
                events = [LogEvent.parse(run.process.stderr.readline().decode().rstrip("\n")) for _ in range(10)]
                assert [event.args[0] for event in events] == list(range(number - 9, number + 1))
                for event, latest in zip(events, emitted[-10:], strict=True):
                    assert event.args[1] // 1000 - CLOCKS_US <= event.time <= latest + CLOCKS_US
        assert run.process.stdin is not None
        run.process.stdin.close()
        assert run.process.wait(PATIENCE) == 0
        assert run.process.stderr.read() == b""


def switches(pid: int) -> int:
    """The number of times that threads of a process have been scheduled."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = status.read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if "voluntary_ctxt_switches" in line)
    return total


def switches_in_a_second(pid: int) -> int:
    """The number of times that threads of a process are scheduled in the next second. This is a rate, so a second must
    pass."""
    before = switches(pid)
    time.sleep(1)
    return switches(pid) - before


@pytest.mark.parametrize("events", [0, pytest.param(1, marks=_AFTER_EVENTS), pytest.param(100, marks=_AFTER_EVENTS)])
def test_a_program_that_emits_nothing_costs_nothing(toolchain: Toolchain, tmp_path: Path, events: int) -> None:
    """The program uses stores, because with rings htrun must poll for events."""
    options = ("--via", "store", "-o", tmp_path / "trace", "-D", tmp_path / "log")
    with live(toolchain, tmp_path, *options) as run:
        for _ in range(events):
            run.emit()
        wait_until(lambda: run.tracer != 0, "a tracer")

        wait_until(lambda: switches_in_a_second(run.tracer) == 0, "a second without htrun being scheduled")
        # Then htrun wakes up again.
        run.emit()
        wait_until(lambda: len((tmp_path / "log").read_text().splitlines()) == events + 1, "the event in the log")


@_AFTER_EVENTS
def test_rings_of_a_program_that_emits_nothing_are_looked_at_rarely(toolchain: Toolchain, tmp_path: Path) -> None:
    """htrun polls 20 times a second, which causes up to twice as many context switches. While there are events, it
    polls at least 67 times a second."""
    with live(toolchain, tmp_path, "--via", "ring", "-D", tmp_path / "log") as run:
        run.emit()
        wait_until(lambda: run.tracer != 0, "a tracer")

        wait_until(lambda: switches_in_a_second(run.tracer) < 55, "a second with few looks at the rings")
        run.emit()
        wait_until(lambda: len((tmp_path / "log").read_text().splitlines()) == 2, "the event in the log")
