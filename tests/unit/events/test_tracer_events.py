"""The ring between the tracer and the drain."""

from __future__ import annotations

import pytest

from htrun.events.definitions import CPU_EXIT, DEFINITIONS, USER_SYSCALL
from htrun.events.tracer_events import RECORD, TracerEvents, tracer_dtype


def test_records_come_out_as_they_went_in() -> None:
    events = TracerEvents(4)
    assert (events.pending, events.full, events.take()) == (False, False, None)
    events.append(1, 2, USER_SYSCALL, arch=3, number=4, arguments=(5, 2**64 - 1))
    events.append(6, 7, CPU_EXIT)
    assert events.pending
    taken = events.take()
    assert taken is not None
    assert not events.pending
    assert taken.dtype == tracer_dtype()
    assert taken["timestamp"].tolist() == [1, 6]
    assert taken["stream"].tolist() == [2, 7]
    assert [DEFINITIONS[kind] for kind in taken["kind"]] == [USER_SYSCALL, CPU_EXIT]
    assert taken["arch"].tolist() == [3, 0]
    assert taken["num"].tolist() == [4, 0]
    assert taken["args"].tolist() == [[5, 2**64 - 1, 0, 0, 0, 0, 0, 0], [0] * 8]


@pytest.mark.parametrize("before", range(5))
def test_it_goes_round_and_is_full(before: int) -> None:
    events = TracerEvents(4)
    for number in range(before):
        events.append(number, 0, CPU_EXIT)
        events.take()
    for number in range(4):
        assert not events.full
        events.append(100 + number, 0, CPU_EXIT)
    assert events.full
    taken = events.take()
    assert taken is not None
    assert taken["timestamp"].tolist() == [100, 101, 102, 103]
    assert not events.full
    events.append(104, 0, CPU_EXIT)
    # What was taken is a copy.
    assert taken["timestamp"].tolist() == [100, 101, 102, 103]


def test_a_record_is_as_the_machine_code_writes_it() -> None:
    dtype = tracer_dtype()
    assert dtype.itemsize == RECORD.size == 96
    assert {name: dtype.fields[name][1] for name in dtype.names or ()} == {
        "timestamp": 0, "stream": 8, "kind": 12, "arch": 16, "num": 24, "args": 32
    }  # fmt: skip
