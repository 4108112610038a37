"""Threads that share streams of a native trace: htrun's reader and another one read all events, in the order of each
thread."""

from __future__ import annotations

import random
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from htrun.analysis.trace import Trace
from htrun.ctf.writer import CtfTrace
from htrun.events.records import record_dtype
from htrun.events.stream import Stream
from tests.support.requirements import require_tool
from tests.unit.analysis.made import FACTS, FixedClock, FixedSource, Made

NUM_ARGS = 2
_LINE = re.compile(r".* tid = (\d+).*arg1 = 0x([0-9A-F]+)")


class Writer:
    """Threads that emit events, numbered from 0 in each thread; each event takes one tick."""

    def __init__(self, path: Path) -> None:
        self.trace = CtfTrace.create(path, NUM_ARGS, FixedClock(FixedSource()), FACTS)
        self.time = 1_700_000_000_000_000_000
        self.emitted: dict[int, list[int]] = defaultdict(list)
        """The time of each event, by thread."""

    def stream(self, thread: int) -> Stream:
        return Stream(100 + thread, 100 + thread // 8, thread % 8, f"thread{thread}", big_endian=thread % 16 == 5)

    def emit(self, thread: int, count: int = 1) -> NDArray[np.void]:
        """New records of the thread."""
        records = np.zeros(count, record_dtype(NUM_ARGS, self.stream(thread).big_endian))
        records["timestamp"] = range(self.time + 1, self.time + 1 + count)
        first = len(self.emitted[thread])
        records["args"][:, 0] = range(first, first + count)
        records["args"][:, 1] = thread
        records["index"], records["site"] = thread % 7, 1 + thread % 3
        self.emitted[thread] += records["timestamp"].tolist()
        self.time += count
        return records

    def write(self, thread: int, records: NDArray[np.void], discarded: int = 0) -> None:
        self.trace.write_packet(thread, self.stream(thread), records.view("u1").data, discarded)

    def check(self, path: Path) -> Trace:
        """Both readers find all events, each thread's in order."""
        trace = Trace.open(path)
        events = trace.to_numpy()
        assert (np.diff(events["time"].astype(np.int64)) >= 0).all()
        tids = np.array([stream.tid for stream in trace.streams])[events["stream"]]
        assert {stream._replace(big_endian=False) for stream in map(self.stream, self.emitted)} == set(trace.streams)
        for thread, times in self.emitted.items():
            own = events[tids == 100 + thread]
            assert own["time"].tolist() == times
            assert own["args"][:, 0].tolist() == list(range(len(times)))
            assert (own["args"][:, 1] == thread).all()
            assert (own["index"] == thread % 7).all()
            assert (own["site"] == 1 + thread % 3).all()
        assert read_by_others(path) == {100 + thread: list(range(len(times))) for thread, times in self.emitted.items()}
        return trace


def read_by_others(path: Path) -> dict[int, list[int]]:
    """The first argument of each event, by thread, as babeltrace2 reads it with few open files."""
    tool = require_tool("babeltrace2", "babeltrace2")
    command: list[str | Path] = ["prlimit", "--nofile=320", tool, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all("Tracer discarded 7 events" in line for line in done.stderr.splitlines()), done.stderr
    found: dict[int, list[int]] = defaultdict(list)
    for line in done.stdout.splitlines():
        match = _LINE.match(line)
        assert match, line
        found[int(match[1])].append(int(match[2], 16))
    return found


def files(path: Path) -> list[Path]:
    return sorted(path.glob("stream-*"))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path / "trace")
    yield made
    made.trace.close()


def test_threads_without_end_share_few_files(writer: Writer, tmp_path: Path) -> None:
    """Each thread exists only briefly, and takes only the space of its events."""
    for thread in range(3000):
        writer.write(thread, writer.emit(thread, 3))
        writer.trace.thread_ended(thread)
        if thread % 10 == 9:
            writer.trace.flush()
    writer.trace.close()
    writer.check(tmp_path / "trace")
    assert len(files(tmp_path / "trace")) < 50
    assert sum(file.stat().st_blocks * 512 for file in files(tmp_path / "trace")) < 3000 * 3 * 160 + 50 * 4096


def test_threads_that_all_live_and_are_seen_late(writer: Writer, tmp_path: Path) -> None:
    """A round of the drain reads one ring after the other, while threads write to all rings. A thread may be stopped
    for a long time after it has taken the time and before it writes the record."""
    chance = random.Random(20)
    late: dict[int, list[NDArray[np.void]]] = defaultdict(list)
    for _ in range(40):
        for thread in chance.sample(range(1100), 300):
            late[thread].append(writer.emit(thread, chance.randrange(1, 4)))
            if chance.random() < 0.8:
                for records in late.pop(thread):
                    writer.write(thread, records)
        writer.trace.flush()
    for thread, pieces in late.items():
        for records in pieces:
            writer.write(thread, records)
    writer.trace.close()
    writer.check(tmp_path / "trace")
    assert len(files(tmp_path / "trace")) < 150


def test_a_thread_that_emits_much_gets_a_stream_of_its_own(writer: Writer, tmp_path: Path) -> None:
    for thread in range(40):
        writer.write(thread, writer.emit(thread))
    writer.trace.flush()
    assert not list((tmp_path / "trace").glob("stream-*-139"))
    for _ in range(10):
        writer.write(39, writer.emit(39, 1000))
        writer.trace.flush()
    assert len(list((tmp_path / "trace").glob("stream-*-139"))) == 1
    writer.trace.close()
    writer.check(tmp_path / "trace")


def test_many_threads_that_emit_much(writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even then, readers need not open a file for each thread."""
    monkeypatch.setattr("htrun.ctf.thread_streams._MUCH", 1 << 10)
    for _ in range(2):
        for thread in range(400):
            writer.write(thread, writer.emit(thread, 40))
        writer.trace.flush()
    writer.trace.close()
    writer.check(tmp_path / "trace")


def test_losses_are_told_of_the_thread_that_lost(writer: Writer, tmp_path: Path) -> None:
    for thread in range(60):
        writer.write(thread, writer.emit(thread))
    writer.trace.flush()
    before = writer.time
    writer.write(50, writer.emit(50), discarded=7)
    writer.trace.close()
    trace = writer.check(tmp_path / "trace")
    lost = {trace.streams[number].tid: count for number, count in enumerate(trace.discarded) if count}
    assert lost == {150: 7}
    [loss] = trace.losses
    assert (trace.streams[loss.stream].tid, loss.events) == (150, 7)
    assert before - 60 <= loss.begin <= before


def test_a_spoilt_time_spoils_its_own_thread_only(writer: Writer, tmp_path: Path) -> None:
    for thread in range(50):
        records = writer.emit(thread, 2)
        if thread == 45:
            records["timestamp"] = (5, 3)
            writer.emitted[thread] = [5, 5]
        writer.write(thread, records)
    writer.trace.close()
    writer.check(tmp_path / "trace")


def test_nothing_is_kept_of_threads_that_have_ended(writer: Writer) -> None:
    """They take neither memory nor open files."""
    for thread in range(500):
        writer.write(thread, writer.emit(thread))
        writer.trace.thread_ended(thread)
        writer.trace.flush()
    assert writer.trace.threads_alive == 0


def test_a_trace_from_before_threads_shared_streams(tmp_path: Path) -> None:
    made = Made(tmp_path / "old").packet(Stream(7, 7, comm="old"), [1, 2, 3])
    made.close()
    metadata = tmp_path / "old" / "metadata"
    text = metadata.read_text()
    start, end = text.index("stream {\n\tid = 2;"), len(text)
    metadata.write_text(text[:start] + text[end:])
    assert Trace.open(tmp_path / "old").to_numpy()["args"][:, 0].tolist() == [1, 2, 3]
