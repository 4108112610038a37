"""Events that the tracer records itself, read back from streams that all threads share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from htrun.analysis.expressions import Expression
from htrun.analysis.filters import Filter, field_names
from htrun.analysis.trace import DamagedTraceWarning, Trace
from htrun.ctf.reader import CtfReader
from htrun.ctf.writer import CtfTrace
from htrun.errors import HtrunError
from htrun.events.definitions import CPU_ENTER, DEFINITIONS, USER_SYSCALL, USER_SYSCALL_RET, Definition
from htrun.events.records import NUMBERS, event_dtype, joined, record_dtype
from htrun.events.stream import Stream
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64
from htrun.events.tracer_events import tracer_dtype
from htrun.events.window import Window
from tests.unit.analysis.made import FACTS, FixedClock, FixedSource

if TYPE_CHECKING:
    from htrun.events.tracer_events import TracerRecords

_STREAMS = (Stream(10, 10, 0, "one"), Stream(11, 10, 1, "one"), Stream(10, 10, 0, "other"))
_KINDS = (USER_SYSCALL, USER_SYSCALL_RET, CPU_ENTER)


def records(*rows: tuple[int, int, Definition, int, int, int]) -> TracerRecords:
    """Records of times, streams, kinds, interfaces, numbers and first arguments."""
    made = np.zeros(len(rows), tracer_dtype())
    for record, (time, stream, definition, arch, number, argument) in zip(made, rows, strict=True):
        record["timestamp"], record["stream"], record["kind"] = time, stream, DEFINITIONS.index(definition)
        record["arch"], record["num"] = arch, number
        record["args"] = [argument + place if argument else 0 for place in range(8)]
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A trace of calls and of the start and exit of threads in two packets, with an event of the first thread between
    them."""
    trace = CtfTrace.create(tmp_path / "t", 2, FixedClock(FixedSource()), FACTS, _KINDS)
    trace.write_tracer_records(
        records(
            (1, 0, CPU_ENTER, 0, 0, 0),
            (2, 0, USER_SYSCALL, ARCH_X86_64, 257, 5),
            (3, 1, USER_SYSCALL, ARCH_I386, 4, 7),
            (4, 0, USER_SYSCALL_RET, ARCH_X86_64, 257, 3),
        ),
        _STREAMS,
    )
    emitted = np.zeros(1, record_dtype(2, big_endian=False))
    emitted["timestamp"], emitted["args"] = 5, [[8, 9]]
    trace.write_packet(0, _STREAMS[0], emitted.view("u1").data, 0)
    trace.write_tracer_records(
        records((6, 2, USER_SYSCALL, ARCH_X86_64, 1, 1), (7, 1, USER_SYSCALL_RET, ARCH_I386, 4, 2**64 - 9)), _STREAMS
    )
    trace.close()
    return tmp_path / "t"


def test_all_of_it(path: Path) -> None:
    trace = Trace.open(path)
    assert len(trace) == 7
    told = [(event.time, event.name, event.stream.tid, event.stream.comm, event.arch, event.num) for event in trace]
    assert told == [
        (1, "guest_cpu_enter", 10, "one", None, None),
        (2, "guest_user_syscall", 10, "one", ARCH_X86_64, 257),
        (3, "guest_user_syscall", 11, "one", ARCH_I386, 4),
        (4, "guest_user_syscall_ret", 10, "one", ARCH_X86_64, 257),
        (5, "guest_hypertrace", 10, "one", None, None),
        (6, "guest_user_syscall", 10, "other", ARCH_X86_64, 1),
        (7, "guest_user_syscall_ret", 11, "one", ARCH_I386, 4),
    ]
    own = [(event.site, event.index) for event in trace]
    assert own == [(None, None)] * 4 + [(0, 0)] + [(None, None)] * 2
    numbers = trace.to_numpy()[list(NUMBERS)]
    assert numbers.tolist() == [
        (0, 0, 0, 0),
        (0, 0, 257, ARCH_X86_64),
        (0, 0, 4, ARCH_I386),
        (0, 0, 257, ARCH_X86_64),
        (0, 0, 0, 0),
        (0, 0, 1, ARCH_X86_64),
        (0, 0, 4, ARCH_I386),
    ]
    args = [event.args for event in trace]
    assert args[1] == (5, 6, 7, 8, 9, 10, 11, 12)
    assert args[3] == (3,)
    assert args[4] == (8, 9)
    assert args[6] == (2**64 - 9,)
    # A thread that both emits and makes calls is one thread.
    assert [(stream.tid, stream.comm) for stream in trace.streams] == [(10, "one"), (11, "one"), (10, "other")]
    assert list(trace.discarded) == [0, 0, 0]
    assert trace.to_numpy().dtype == event_dtype(8)


def test_kinds_at_the_same_time_have_one_order_in_batches_of_any_size(tmp_path: Path) -> None:
    trace = CtfTrace.create(tmp_path / "t", 2, FixedClock(FixedSource()), FACTS, _KINDS)
    emitted = np.zeros(2, record_dtype(2, big_endian=False))
    for begin in (0, 100):
        trace.write_tracer_records(
            records(
                *((begin + time, 1, USER_SYSCALL, ARCH_X86_64, 1, 1) for time in (1, 10)),
                *((begin + time, 1, CPU_ENTER, 0, 0, 0) for time in (3, 10)),
            ),
            _STREAMS,
        )
        emitted["timestamp"] = begin + 2, begin + 10
        trace.write_packet(0, _STREAMS[0], emitted.view("u1").data, 0)
    trace.close()
    read = [joined(list(Trace.open(tmp_path / "t").events(size=size))) for size in (1, 3, 100)]
    assert len(read[0]) == 12
    assert read[0].tobytes() == read[1].tobytes() == read[2].tobytes()


@pytest.mark.parametrize(
    ("condition", "times"),
    [
        ("num == 4", [3, 7]),
        ("num == 0", []),
        ("num >= 0", [2, 3, 4, 6, 7]),
        (f"arch == {ARCH_X86_64}", [2, 4, 6]),
        ('syscall == "openat"', [2, 4]),
        ('syscall == "write"', [3, 6, 7]),
        ("index == 0", [5]),
        ("site >= 0", [5]),
    ],
)
def test_conditions_on_calls(path: Path, condition: str, times: list[int]) -> None:
    trace = Trace.open(path)
    wanted = Filter(where=Expression.parse(condition, field_names(trace)))
    assert [time for events in wanted.batches(trace) for time in events["time"].tolist()] == times


def test_arrow_has_null_for_what_an_event_does_not_have(path: Path) -> None:
    table = Trace.open(path).to_arrow()
    columns = {name: table.column(name).to_pylist() for name in NUMBERS}
    assert columns == {
        "site": [None, None, None, None, 0, None, None],
        "index": [None, None, None, None, 0, None, None],
        "num": [None, 257, 4, 257, None, 1, 4],
        "arch": [None, ARCH_X86_64, ARCH_I386, ARCH_X86_64, None, ARCH_X86_64, ARCH_I386],
    }


def test_only_some_threads_and_times(path: Path) -> None:
    reader = CtfReader.open(path, pytest.fail)
    (some,) = reader.batches(Window(streams=frozenset({1})))
    assert some["time"].tolist() == [3, 7]
    (some,) = reader.batches(Window(begin=4, end=7, streams=frozenset({0, 2})))
    assert some["time"].tolist() == [4, 5, 6]
    assert list(reader.batches(Window(begin=100, streams=frozenset({0})))) == []


def test_what_is_cut_off_is_missed_and_told(path: Path) -> None:
    calls = next(file for file in path.iterdir() if file.name.endswith("-0") and file.stat().st_size == 3 * 512 - 512)
    with calls.open("r+b") as file:
        file.truncate(512 + 256 + 60)
    with pytest.warns(DamagedTraceWarning, match="ends in the middle of a packet"):
        times = [event.time for event in Trace.open(path)]
    assert set(times) < set(range(1, 8))


def test_more_threads_than_there_can_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("htrun.ctf.threads._MOST_THREADS", 1)
    with pytest.raises(HtrunError, match="is damaged: it names more threads than there can be"):
        Trace.open(path)
