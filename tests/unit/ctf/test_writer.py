"""Native traces, as babeltrace2 reads them."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from htrun.ctf.metadata import Packet, packet_header
from htrun.ctf.writer import CtfTrace
from htrun.errors import HtrunError
from htrun.events.clock import Clock
from htrun.events.records import record_dtype
from htrun.events.sink import SinkError
from htrun.events.stream import Stream
from htrun.hosts.x86_64.counter import best_clock
from htrun.rings.layout import PACKET_HEADER, RECORD_HEADER
from tests.support.requirements import require_tool

NUM_ARGS = 2
RECORD_SIZE = RECORD_HEADER + 8 * NUM_ARGS
LITTLE = Stream(10, 10, 0, "app")
BIG = Stream(11, 10, 1, "äpp", big_endian=True)

_EVENT = re.compile(r"\[(\d+)\.(\d{9})\] guest_hypertrace: (.*)")
_FIELD = re.compile(r'(\w+) = ("[^"]*"|\w+)')


@dataclass(frozen=True)
class Read:
    """A trace as babeltrace2 reads it: the time in ns and the fields of each event, and its messages."""

    times: list[int]
    events: list[dict[str, str]]
    messages: str

    @property
    def arguments(self) -> list[tuple[int, ...]]:
        return [(int(event["arg1"], 16), int(event["arg2"], 16)) for event in self.events]

    @property
    def discarded(self) -> int:
        return sum(int(count) for count in re.findall(r"discarded (\d+) event", self.messages))


def read(path: Path) -> Read:
    done = subprocess.run(
        ["babeltrace2", "--clock-seconds", "--no-delta", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    times, events = [], []
    for line in done.stdout.splitlines():
        match = _EVENT.fullmatch(line)
        assert match, line
        times.append(int(match[1]) * 10**9 + int(match[2]))
        events.append(dict(_FIELD.findall(match[3])))
    return Read(times, events, done.stderr)


@pytest.fixture(autouse=True, scope="module")
def reader() -> None:
    require_tool("babeltrace2", "babeltrace2")


@pytest.fixture
def clock() -> Clock:
    return best_clock()


@pytest.fixture
def trace(tmp_path: Path, clock: Clock) -> CtfTrace:
    return CtfTrace.create(tmp_path / "trace", NUM_ARGS, clock, {"command": "app", "num_args": NUM_ARGS})


def records(clock: Clock, count: int, *, big_endian: bool = False, first: int = 0) -> memoryview:
    made = np.zeros(count, record_dtype(NUM_ARGS, big_endian))
    made["timestamp"] = [clock.source.read() for _ in range(count)]
    made["index"] = np.arange(first, first + count)
    made["args"][:, 0] = 0xCAFE
    made["args"][:, 1] = 2**64 - 1 - np.arange(first, first + count, dtype=np.uint64)
    return made.view(np.uint8).data


def test_values_order_and_context_of_several_streams(trace: CtfTrace, clock: Clock) -> None:
    trace.write_packet(0, LITTLE, records(clock, 3), 0)
    trace.write_packet(1, BIG, records(clock, 2, big_endian=True), 0)
    trace.write_packet(0, LITTLE, records(clock, 2, first=3), 0)
    trace.close()
    result = read(trace.path)
    assert result.messages == ""
    assert [int(event["index"]) for event in result.events] == [0, 1, 2, 0, 1, 3, 4]
    assert [event["tid"] for event in result.events] == ["10"] * 3 + ["11"] * 2 + ["10"] * 2
    assert {event["pid"] for event in result.events} == {"10"}
    assert [event["vcpu"] for event in result.events] == ["0"] * 3 + ["1"] * 2 + ["0"] * 2
    assert {event["comm"] for event in result.events} == {'"app"', '"äpp"'}
    assert result.arguments == [(0xCAFE, 2**64 - 1 - int(event["index"])) for event in result.events]


def test_times_are_of_the_wall_clock(trace: CtfTrace, clock: Clock) -> None:
    before = time.time_ns()
    data = records(clock, 1)
    after = time.time_ns()
    trace.write_packet(0, LITTLE, data, 0)
    trace.close()
    [told] = read(trace.path).times
    assert before - 5_000 <= told <= after + 5_000


@pytest.mark.parametrize("num_args", [1, 64])
def test_any_number_of_arguments(tmp_path: Path, clock: Clock, num_args: int) -> None:
    trace = CtfTrace.create(tmp_path / "trace", num_args, clock, {})
    made = np.zeros(2, record_dtype(num_args, False))
    made["timestamp"], made["args"] = clock.source.read(), np.arange(num_args)
    trace.write_packet(0, LITTLE, made.view(np.uint8).data, 0)
    trace.close()
    events = read(trace.path).events
    assert [int(events[1][f"arg{number + 1}"], 16) for number in range(num_args)] == list(range(num_args))


def test_many_packets_of_uneven_sizes_are_all_counted(trace: CtfTrace, clock: Clock) -> None:
    sizes = [1, 1000, 3, 5461, 2, 77] * 5
    for size in sizes:
        trace.write_packet(0, LITTLE, records(clock, size), 0)
    trace.close()
    done = subprocess.run(
        ["babeltrace2", str(trace.path), "-c", "sink.utils.counter"], capture_output=True, text=True, check=True
    )
    counts = Counter({match[2]: int(match[1]) for match in re.finditer(r"(\d+) (.*)", done.stdout)})
    assert counts["Event messages"] == sum(sizes)
    assert counts["Packet beginning messages"] == len(sizes)


def test_losses_are_told_between_packets_and_after_the_last(trace: CtfTrace, clock: Clock) -> None:
    trace.write_packet(0, LITTLE, records(clock, 1), 0)
    trace.write_packet(0, LITTLE, records(clock, 1), 5)
    trace.write_packet(0, LITTLE, records(clock, 1), 5)
    assert read(trace.path).discarded == 5
    trace.write_packet(0, LITTLE, records(clock, 0), 7)
    trace.close()
    result = read(trace.path)
    assert result.discarded == 7
    assert len(result.events) == 3


def test_a_trace_can_be_read_while_it_is_written(trace: CtfTrace, clock: Clock) -> None:
    """The trace of an htrun that was killed can also be read."""
    trace.write_packet(0, LITTLE, records(clock, 3), 0)
    result = read(trace.path)
    assert len(result.events) == 3
    assert abs(result.times[0] - time.time_ns()) < 10_000_000_000
    trace.close()


def test_a_spoilt_packet_spoils_only_its_own_times(trace: CtfTrace, clock: Clock) -> None:
    """A guest can write any data to its ring, but readers reject times that are not in order."""
    data = records(clock, 4)
    times = np.frombuffer(data, record_dtype(NUM_ARGS, False))["timestamp"]
    times[1], times[2] = 0, 2**64 - 1
    trace.write_packet(0, LITTLE, data, 0)
    trace.write_packet(0, LITTLE, records(clock, 2, first=4), 0)
    trace.close()
    result = read(trace.path)
    assert [int(event["index"]) for event in result.events] == list(range(6))
    assert result.times == sorted(result.times)


@pytest.mark.parametrize("room", [0, 100, PACKET_HEADER, 1000])
def test_a_full_disk_leaves_whole_packets(trace: CtfTrace, clock: Clock, room: int) -> None:
    """A limit of the file size simulates a full disk: first a write is incomplete, then a write fails."""
    trace.write_packet(0, LITTLE, records(clock, 100), 0)
    size = PACKET_HEADER + 100 * RECORD_SIZE
    size += -size % PACKET_HEADER
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, size + room))
            with pytest.raises(SinkError, match="cannot write"):
                trace.write_packet(0, LITTLE, records(clock, 100), 0)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert [path.stat().st_size for path in trace.path.glob("stream-*")] == [size]
    assert len(read(trace.path).events) == 100
    trace.close()


def test_the_metadata_tells_of_the_run(tmp_path: Path, clock: Clock) -> None:
    trace = CtfTrace.create(tmp_path / "trace", 1, clock, {"command": 'a "b" \\n c\n\udcff', "count": 3})
    trace.describe({"guest_arch": "aarch64"})
    trace.write_packet(0, LITTLE, np.zeros(1, record_dtype(1, False)).view(np.uint8).data, 0)
    trace.close()
    trace.close()
    done = subprocess.run(
        ["babeltrace2", str(trace.path), "-c", "sink.text.details"], capture_output=True, text=True, check=True
    )
    for fact in (
        'a "b" \\n c\n?',
        "count: 3",
        "guest_arch: aarch64",
        f"clock_source: {clock.source.name}",
        "clock_error",
    ):
        assert fact in done.stdout
    assert "Origin is Unix epoch: Yes" in done.stdout


def test_many_thousand_threads_need_no_open_files(trace: CtfTrace, clock: Clock) -> None:
    opened = len(list(Path("/proc/self/fd").iterdir()))
    for tid in range(1, 201):
        trace.write_packet(tid, Stream(tid, 1), records(clock, 1), 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
    trace.close()
    assert [int(event["tid"]) for event in read(trace.path).events] == list(range(1, 201))


@pytest.mark.heavy("220,000 records, read by another program twice")
def test_a_stream_goes_on_in_further_files(trace: CtfTrace, clock: Clock) -> None:
    """For readers, all files are one stream without a gap."""
    for number in range(150):
        trace.write_packet(0, LITTLE, records(clock, 1000, first=1000 * number), number // 50)
    trace.write_packet(1, BIG, records(clock, 70_000, big_endian=True), 0)
    names = ["stream-0-10", "stream-0-10.1", "stream-0-10.2", "stream-0-10.3", "stream-1-11"]
    for finished in (False, True):
        if finished:
            trace.close()
        files = {path.name: path.stat() for path in trace.path.glob("stream-*")}
        assert sorted(files) == names
        assert sum(file.st_blocks for file in files.values()) * 512 < 240_000 * RECORD_SIZE
        result = read(trace.path)
        own = [int(event["index"]) for event in result.events if event["tid"] == "10"]
        assert own == list(range(150_000))
        assert len(result.events) == 220_000
        assert (result.discarded, "packet" in result.messages) == (2, False)
    assert sum(file.st_size for file in files.values()) < 223_000 * RECORD_SIZE


def test_files_that_may_not_be_long(trace: CtfTrace, clock: Clock) -> None:
    """If a packet fits within the limit of the file size, it is written."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
            for number in range(10):
                trace.write_packet(0, LITTLE, records(clock, 500, first=500 * number), 0)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert [int(event["index"]) for event in read(trace.path).events] == list(range(5000))


def test_a_packets_header_fills_what_a_ring_keeps_for_it() -> None:
    stream = Stream(1, 1, comm="x" * 100, big_endian=True)
    assert len(packet_header(uuid4(), stream, Packet(1, 2, 48, 0, 0, 0))) == PACKET_HEADER


def test_a_trace_is_never_written_over_another_or_into_a_file(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for path, reason in ((tmp_path, "not empty"), (file, "not a directory"), (file / "trace", "Not a directory")):
        with pytest.raises(HtrunError, match=reason):
            CtfTrace.create(path, 1, clock, {})
    assert file.read_text() == "mine"


def test_an_empty_directory_will_do(tmp_path: Path, clock: Clock) -> None:
    CtfTrace.create(tmp_path, 1, clock, {}).close()
    assert {path.name for path in tmp_path.iterdir()} == {"metadata", ".clocks"}
