"""The ring between the tracer and the drain."""

from __future__ import annotations

import pytest

from htrun.events.definitions import CPU_EXIT, DEFINITIONS, USER_SYSCALL, USER_SYSCALL_TEXT
from htrun.events.tracer_events import RECORD, TracerEvents, tracer_dtype


def test_records_come_out_as_they_went_in() -> None:
    events = TracerEvents(4)
    assert (events.pending, events.has_room(4), events.has_room(5), events.take()) == (False, True, False, None)
    events.append(1, 2, [(USER_SYSCALL, (5, 2**64 - 1))], arch=3, number=4)
    events.append(6, 7, [(CPU_EXIT, ())])
    before, taken, after = events.pending, events.take(), events.pending
    assert (before, after) == (True, False)
    assert taken is not None
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
        events.append(number, 0, [(CPU_EXIT, ())])
        events.take()
    for number in range(4):
        assert events.has_room(1)
        events.append(100 + number, 0, [(CPU_EXIT, ())])
    assert not events.has_room(1)
    taken = events.take()
    assert taken is not None
    assert taken["timestamp"].tolist() == [100, 101, 102, 103]
    assert events.has_room(1)
    events.append(104, 0, [(CPU_EXIT, ())])
    # The records that were taken are a copy.
    assert taken["timestamp"].tolist() == [100, 101, 102, 103]


def test_records_that_belong_together_are_taken_together() -> None:
    events = TracerEvents(4)
    events.append(1, 0, [(CPU_EXIT, ())] * 3)
    events.take()
    assert events.has_room(4)
    events.append(
        2, 5, [(USER_SYSCALL, (1,)), (USER_SYSCALL_TEXT, (2, 3)), (USER_SYSCALL_TEXT, (4,))], arch=6, number=7
    )
    taken = events.take()
    assert taken is not None
    assert [DEFINITIONS[kind] for kind in taken["kind"]] == [USER_SYSCALL, USER_SYSCALL_TEXT, USER_SYSCALL_TEXT]
    assert taken["args"][:, :2].tolist() == [[1, 0], [2, 3], [4, 0]]
    assert {(row["timestamp"], row["stream"], row["arch"], row["num"]) for row in taken} == {(2, 5, 6, 7)}


def test_a_record_is_as_the_machine_code_writes_it() -> None:
    dtype = tracer_dtype()
    assert dtype.itemsize == RECORD.size == 96
    assert {name: offset for name, (_, offset, *_) in (dtype.fields or {}).items()} == {
        "timestamp": 0, "stream": 8, "kind": 12, "arch": 16, "num": 24, "args": 32
    }  # fmt: skip
