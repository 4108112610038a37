"""Native traces as batches of events."""

from __future__ import annotations

import re
import shutil
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htrun.ctf.reader import CtfReader, to_nanoseconds
from htrun.errors import HtrunError
from htrun.events.clock import Fit
from htrun.events.stream import Stream
from htrun.events.window import Window
from htrun.rings.layout import PACKET_HEADER, RECORD_HEADER
from tests.unit.analysis.made import FACTS, Made

if TYPE_CHECKING:
    from htrun.events.records import Events

ONE, TWO, BIG = Stream(10, 10, 0, "one"), Stream(11, 10, 1, "two"), Stream(12, 12, 0, "big", big_endian=True)


def opened(path: Path) -> tuple[CtfReader, list[str]]:
    told: list[str] = []
    return CtfReader.open(path, told.append), told


def whole(path: Path, **options: object) -> Events:
    reader, told = opened(path)
    batches = list(reader.batches(**options))  # type: ignore[arg-type]
    assert told == []
    return np.concatenate(batches) if batches else np.empty(0, np.dtype([("time", "<u8")]))


def test_values_of_both_byte_orders_and_the_place_of_each(tmp_path: Path) -> None:
    made = Made(tmp_path / "t").packet(ONE, [5, 7], [[2**64 - 1, 0], [1, 2]], index=3, site=4)
    events = whole(made.packet(BIG, [6], [[0x0102030405060708, 2**63]], index=2**32 - 1).close())
    assert events["time"].tolist() == [5, 6, 7]
    assert events["args"].tolist() == [[2**64 - 1, 0], [0x0102030405060708, 2**63], [1, 2]]
    assert events["index"].tolist() == [3, 2**32 - 1, 3]
    assert events["site"].tolist() == [4, 0, 4]
    assert events["kind"].tolist() == [0, 0, 0]
    reader, _ = opened(tmp_path / "t")
    assert [(each.tid, each.pid, each.vcpu, each.comm) for each in reader.streams] == [
        (10, 10, 0, "one"),
        (12, 12, 0, "big"),
    ]
    assert events["stream"].tolist() == [0, 1, 0]


def test_a_thread_that_emits_two_kinds_of_events_is_one_stream(tmp_path: Path) -> None:
    path = Made(tmp_path / "t", num_args=2).packet(ONE, [1, 3]).packet(BIG, [2]).close()
    metadata = path / "metadata"
    first, second = metadata.read_text().split("stream {\n\tid = 1;")
    second = second.partition("stream {\n\tid = 2;")[0]
    second = second.replace("guest_hypertrace", "guest_user_syscall_ret").replace("u32 index;", "u32 num;")
    second = second.replace("\t\targ_be arg1;\n", "").replace("arg_be arg2", "arg_le ret")
    metadata.write_text(first + "stream {\n\tid = 1;" + second)
    file = next(path.glob("stream-1-*"))
    packet = bytearray(file.read_bytes()[: PACKET_HEADER + 24])
    for place, size in ((192, 8), (224, 8)):
        packet[place : place + size] = (len(packet) * 8).to_bytes(size, "little")
    packet[144:148], packet[148:152], packet[156:160] = b"\x0a\0\0\0", b"\x0a\0\0\0", b"one\0"
    file.unlink()
    (path / "stream-1-10").write_bytes(packet)
    events = whole(path)
    assert events["kind"].tolist() == [0, 2, 0]
    assert events["stream"].tolist() == [0, 0, 0]
    assert events["args"][:, 1].tolist() == [0, 0, 0]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from([ONE, TWO, BIG]), st.lists(st.integers(0, 30), min_size=1, max_size=40)),
        max_size=12,
    ),
    st.integers(1, 50),
)
def test_many_streams_come_in_one_order_of_time(
    tmp_path: Path, packets: list[tuple[Stream, list[int]]], size: int
) -> None:
    shutil.rmtree(tmp_path / "t", ignore_errors=True)
    made = Made(tmp_path / "t", num_args=1)
    ends = dict.fromkeys((ONE, TWO, BIG), 0)
    expected: list[tuple[int, int, int]] = []
    for stream, steps in packets:
        times = (ends[stream] + np.cumsum(steps)).astype(np.uint64)
        ends[stream] = int(times[-1])
        numbers = [[len(expected) + place] for place in range(len(times))]
        made.packet(stream, times, numbers)
        expected += [(int(time), stream.tid, number) for time, [number] in zip(times, numbers, strict=True)]
    reader, told = opened(made.close())
    batches = list(reader.batches(size=size))
    assert all(0 < len(events) <= size for events in batches)
    read = [
        (int(event["time"]), reader.streams[event["stream"]].tid, int(event["args"][0]))
        for events in batches
        for event in events
    ]
    assert [time for time, _, _ in read] == sorted(time for time, _, _ in read)
    # A thread's own events stay in the order in which it emitted them.
    for stream in (ONE, TWO, BIG):
        assert [each for each in read if each[1] == stream.tid] == [each for each in expected if each[1] == stream.tid]
    assert (told, reader.events) == ([], len(expected))


def test_a_packet_too_large_for_one_piece_is_read_in_several(tmp_path: Path) -> None:
    count = 30_000
    times = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(3)
    path = Made(tmp_path / "t", num_args=2).packet(ONE, times).packet(TWO, times + np.uint64(1)).close()
    reader, _ = opened(path)
    assert len(reader._pieces) > 4
    events = whole(path)
    assert events["time"].tolist() == sorted([*times.tolist(), *(times + np.uint64(1)).tolist()])


def test_more_streams_than_files_that_are_kept_open(tmp_path: Path) -> None:
    made = Made(tmp_path / "t", num_args=1)
    for start in range(0, 3000, 1000):
        for tid in range(1, 151):
            made.packet(Stream(tid, 1), range(start + tid, start + tid + 20))
    reader, told = opened(made.close())
    times = [time for events in reader.batches(size=100) for time in events["time"].tolist()]
    expected = [start + tid + place for start in range(0, 3000, 1000) for tid in range(1, 151) for place in range(20)]
    assert (times, told) == (sorted(expected), [])


def test_a_span_is_exactly_what_lies_in_it(tmp_path: Path) -> None:
    made = Made(tmp_path / "t", num_args=1)
    for start in range(0, 1000, 100):
        made.packet(ONE, range(start, start + 100)).packet(TWO, range(start, start + 100))
    path = made.close()
    assert whole(path, window=Window(150, 420))["time"].tolist() == [time for time in range(150, 420) for _ in range(2)]
    assert whole(path, window=Window(streams=frozenset({1})))["stream"].tolist() == [1] * 1000
    assert len(whole(path, window=Window(5000))) == 0
    assert len(whole(path, window=Window(7, 7))) == 0
    assert len(whole(path, window=Window(streams=frozenset()))) == 0


def test_losses_are_told_by_stream(tmp_path: Path) -> None:
    made = Made(tmp_path / "t").packet(ONE, [1], discarded=2).packet(TWO, [1]).packet(ONE, [2], discarded=7)
    reader, _ = opened(made.packet(TWO, [], discarded=1).close())
    assert list(reader.discarded) == [7, 1]


def test_a_trace_without_events_is_a_trace(tmp_path: Path) -> None:
    reader, told = opened(Made(tmp_path / "t").close())
    assert (list(reader.batches()), reader.events, reader.duration, reader.num_args, told) == ([], 0, None, 2, [])


@given(
    st.lists(st.integers(0, 2**63), min_size=1),
    st.builds(Fit, st.integers(1, 10**10), st.integers(0, 2**31), st.integers(0, 10**10), st.just(0)),
)
def test_times_of_many_ticks_are_those_of_each(ticks: list[int], fit: Fit) -> None:
    many = to_nanoseconds(np.array(ticks, np.uint64), fit)
    exact = [fit.to_realtime_ns(each) for each in ticks]
    assert many.tolist() == [each % 2**64 for each in exact]


def test_memory_does_not_grow_with_the_trace(tmp_path: Path) -> None:
    made = Made(tmp_path / "t", num_args=2)
    for start in range(0, 400_000, 4000):
        made.packet(ONE, range(start, start + 4000)).packet(TWO, range(start, start + 4000))
    reader, _ = opened(made.close())
    tracemalloc.start()
    count = sum(len(events) for events in reader.batches(size=10_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 800_000
    # The whole trace is 38 MB in memory.
    assert peak < 8_000_000


@dataclass(frozen=True)
class Sample:
    """A trace that a test damages. ``expected``: the times and arguments of each thread's events."""

    path: Path
    expected: dict[int, list[tuple[int, ...]]]

    def sound_before(self, file: Path, place: int) -> int:
        """The number of a file's events that are completely before byte ``place``, with their packets' headers."""
        count, at = 0, 0
        data = (self.path / file.name).read_bytes()
        while at < len(data):
            content, size = (int.from_bytes(data[at + field : at + field + 8], "little") // 8 for field in (192, 224))
            count += max(0, min(place, at + content) - at - PACKET_HEADER) // (RECORD_HEADER + 16)
            if place < at + size:
                break
            at += size
        return count


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = Made(tmp_path_factory.mktemp("sample") / "t", num_args=2)
    expected: dict[int, list[tuple[int, ...]]] = {}
    for start in range(1000, 4000, 1000):
        for stream in (ONE, TWO, BIG):
            times = range(start, start + 20 + stream.tid)
            args = [[time * stream.tid, 2**64 - time] for time in times]
            made.packet(stream, times, args, discarded=start)
            expected.setdefault(stream.tid, []).extend((time, *own) for time, own in zip(times, args, strict=True))
    return Sample(made.close(), expected)


def read_by_thread(path: Path) -> tuple[dict[int, list[tuple[int, ...]]], list[str]]:
    reader, told = opened(path)
    read: dict[int, list[tuple[int, ...]]] = {}
    last = 0
    for events in reader.batches(size=50):
        assert (events["time"][1:] >= events["time"][:-1]).all()
        assert int(events["time"][0]) >= last
        last = int(events["time"][-1])
        for event in events:
            thread = read.setdefault(reader.streams[event["stream"]].tid, [])
            thread.append((int(event["time"]), *event["args"].tolist()))
    return read, told


def check_all_before(sample: Sample, damaged: Path, file: Path, place: int) -> list[str]:
    """The warnings, after a check that all events before the damage are correct."""
    read, told = read_by_thread(damaged)
    for tid, expected in sample.expected.items():
        if file.name.endswith(f"-{tid}"):
            count = sample.sound_before(file, place)
            assert read.get(tid, [])[:count] == expected[:count]
        else:
            assert read[tid] == expected
    return told


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_at_any_byte_spoils_nothing_before_it(sample: Sample, tmp_path: Path, data: st.DataObject) -> None:
    damaged = tmp_path / "t"
    shutil.copytree(sample.path, damaged, dirs_exist_ok=True)
    file = data.draw(st.sampled_from(sorted(damaged.glob("stream-*"))))
    raw = file.read_bytes()
    # Half of the attempts are in headers, which are a small part of a packet.
    packet = data.draw(st.sampled_from([0, raw.index(b"\xc1\x1f\xfc\xc1", 4)]))
    place = data.draw(st.integers(0, len(raw) - 1) | st.integers(packet, packet + PACKET_HEADER))
    new = data.draw(st.binary(min_size=1, max_size=16))
    rest = data.draw(st.sampled_from([raw[place + len(new) :], raw[place:], b""]))
    file.write_bytes(raw[:place] + new + rest)
    check_all_before(sample, damaged, file, place)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_cut_file_is_read_up_to_the_cut_and_told(sample: Sample, tmp_path: Path, data: st.DataObject) -> None:
    damaged = tmp_path / "t"
    shutil.copytree(sample.path, damaged, dirs_exist_ok=True)
    file = data.draw(st.sampled_from(sorted(damaged.glob("stream-*"))))
    raw = file.read_bytes()
    place = data.draw(st.integers(0, len(raw) - 1))
    file.write_bytes(raw[:place])
    told = check_all_before(sample, damaged, file, place)
    if place not in {0, *(at for at in range(len(raw)) if raw[at : at + 4] == b"\xc1\x1f\xfc\xc1")}:
        assert len(told) == 1
        assert str(file) in told[0]
        assert "in the middle of a packet" in told[0]


@pytest.mark.parametrize(
    ("place", "new", "reason"),
    [
        (0, b"\0", "there is no packet here"),
        (4, b"\0\0\0\0", "another trace"),
        (20, b"\7", "another kind of stream"),
        (24, b"\7", "another stream"),
        (128, b"\xff" * 8, "the times are not in order"),
        (144, b"\xff\xff", "another stream"),
        (192, b"\1", "size is impossible|not a whole number"),
        (240, b"\0\0", "lost events goes back"),
        (248, b"\x44", "missing or out of order"),
        (PACKET_HEADER, b"\xff" * 8, "the times are not in order"),
        (PACKET_HEADER + 5 * 32, b"\0" * 8, "the times are not in order"),
    ],
)
def test_the_warning_says_what_is_wrong(sample: Sample, tmp_path: Path, place: int, new: bytes, reason: str) -> None:
    shutil.copytree(sample.path, tmp_path / "t")
    [file] = (tmp_path / "t").glob("stream-0-*")
    raw = bytearray(file.read_bytes())
    place += raw.index(b"\xc1\x1f\xfc\xc1", 4)
    raw[place : place + len(new)] = new
    file.write_bytes(raw)
    [told] = check_all_before(sample, tmp_path / "t", file, place)
    assert "\n" not in told
    assert str(file) in told
    assert re.search(reason, told)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "it does not exist"),
        (lambda path: path.mkdir(), "no file 'metadata'"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(b"x"), "not a directory"),
        (lambda path: (path.mkdir(), (path / "metadata").touch()), "metadata is empty"),
        (lambda path: (path.mkdir(), (path / "metadata").write_bytes(b"\x57\x1d\xd1\x75")), "another program"),
        (
            lambda path: (path.mkdir(), (path / "metadata").write_text('env { tracer_name = "lttng-ust"; };')),
            "by lttng-ust, not by htrun",
        ),
        (
            lambda path: (
                path.mkdir(),
                (path / "metadata").write_text('env { tracer_name = "htrun"; htrun_version = "9.9"; };'),
            ),
            r"another version of htrun \(9.9\)",
        ),
        (lambda path: (path.mkdir(), (path / "metadata").mkdir()), "cannot read"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(tmp_path: Path, make: object, reason: str) -> None:
    make(tmp_path / "t")  # type: ignore[operator]
    with pytest.raises(HtrunError, match=reason) as caught:
        opened(tmp_path / "t")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "t") in str(caught.value)


def test_facts_of_the_run_are_kept(tmp_path: Path) -> None:
    reader, _ = opened(Made(tmp_path / "t").close())
    assert FACTS.items() <= reader.metadata.environment.items()
