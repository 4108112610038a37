"""The kernel's records are decoded, whatever their sizes and their contents."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from htrun.events.definitions import DEFINITIONS
from htrun.sched.records import UNKNOWN, records_of

LOST, THROTTLE, SAMPLE, SWITCH = 2, 5, 9, 14
OUT, PREEMPTED = 1 << 13, 1 << 14

Found = tuple[str, int, tuple[int, ...]]
"""A decoded record: its kind, its time, its arguments."""


def raw(type_: int, misc: int, *words: int) -> bytes:
    return struct.pack(f"<IHH{len(words)}Q", type_, misc, 8 + 8 * len(words), *words)


def decoded(data: bytes, processor: int = UNKNOWN) -> tuple[list[Found], int]:
    records, last = records_of(np.frombuffer(data, np.uint64), processor)
    found = []
    for record in records:
        definition = DEFINITIONS[record["kind"]]
        arguments = record["args"].tolist()
        count = len(definition.argument_names(0))
        assert not any(arguments[count:]) or definition.name == "sched_switch_in"
        found.append((definition.name, int(record["timestamp"]), tuple(arguments[:count])))
    return found, last


def test_a_thread_that_is_preempted_moved_and_blocked() -> None:
    data = raw(SWITCH, 0, 10, 3) + raw(SAMPLE, 2, 11, 0x7000, 3) + raw(SWITCH, OUT | PREEMPTED, 12, 3)
    data += raw(SWITCH, 0, 20, 1) + raw(SWITCH, OUT, 21, 1)
    assert decoded(data) == (
        [
            ("sched_switch_in", 10, (3,)),
            ("page_fault", 11, (0x7000, 3)),
            ("sched_switch_out", 12, (3, 1)),
            ("migration", 20, (3, 1)),
            ("sched_switch_in", 20, (1,)),
            ("sched_switch_out", 21, (1, 0)),
        ],
        1,
    )


def test_a_migration_between_two_batches() -> None:
    assert decoded(raw(SWITCH, 0, 10, 3), 2) == ([("migration", 10, (2, 3)), ("sched_switch_in", 10, (3,))], 3)
    assert decoded(raw(SWITCH, 0, 10, 3), 3) == ([("sched_switch_in", 10, (3,))], 3)
    assert decoded(raw(SAMPLE, 2, 10, 1, 3), 2) == ([("page_fault", 10, (1, 3))], 2)


def test_losses_are_records_and_unknown_types_are_not() -> None:
    data = raw(LOST, 0, 77, 5, 10, 3) + raw(THROTTLE, 0, 11, 12, 13, 14, 15) + raw(SWITCH, 0, 12, 3)
    assert decoded(data) == ([("sched_lost", 10, (5,)), ("sched_switch_in", 12, (3,))], 3)


WORDS = st.one_of(
    st.integers(0, 2**64 - 1),
    # An address may look like the header of a record.
    st.builds(lambda type_, misc, size: size << 48 | misc << 32 | type_, st.just(SWITCH), st.just(OUT), st.just(24)),
)
KINDS = st.lists(st.tuples(st.sampled_from([SAMPLE, SWITCH, LOST]), WORDS), min_size=1, max_size=300)


@given(KINDS)
def test_every_record_is_found(some: list[tuple[int, int]]) -> None:
    data, expected = b"", list[Found]()
    for time, (type_, word) in enumerate(some):
        if type_ == SAMPLE:
            data += raw(SAMPLE, 2, time, word, 1)
            expected.append(("page_fault", time, (word, 1)))
        elif type_ == SWITCH:
            data += raw(SWITCH, OUT, time, 1)
            expected.append(("sched_switch_out", time, (1, 0)))
        else:
            data += raw(LOST, 0, word, time + 1, time, 1)
            expected.append(("sched_lost", time, (time + 1,)))
    assert decoded(data)[0] == expected
