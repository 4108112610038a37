"""A ring returns all records that were written to it, exactly once and in order, and reports when it is full."""

from __future__ import annotations

import fcntl
import gc
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.rings import layout
from htrun.rings.layout import RingShape
from htrun.rings.ring import Overflow, Ring, RingPool
from tests.unit.rings.memory import RECORDS_A_PACKET, SHAPE, Writer, lent, numbers, record

FULL = (SHAPE.packets - 1) * RECORDS_A_PACKET
"""The number of records that fit until the reader has to release a packet."""


def appended(ring: Ring, number: int) -> bool:
    data = record(number)
    return ring.append(number, 7, number % 1000, data[layout.RECORD_HEADER :])


def drained(ring: Ring) -> list[int]:
    found = []
    for span in ring.unread():
        found += numbers(span)
        ring.consume(len(span))
    return found


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("patched"), st.integers(1, 2 * RECORDS_A_PACKET)),
        st.tuples(st.just("trapped"), st.integers(1, 40)),
        st.tuples(st.just("drained"), st.integers(0, 5)),
        st.tuples(st.just("armed"), st.just(0)),
    ),
    max_size=40,
)


@given(_STEPS)
def test_every_record_once_and_in_order_however_it_was_written(steps: list[tuple[str, int]]) -> None:
    ring = lent(RingPool(SHAPE, 1))
    writer = Writer(ring)
    written, read = 0, []
    for what, count in steps:
        match what:
            case "patched":
                while count and writer.write(record(written)):
                    written, count = written + 1, count - 1
            case "trapped":
                while count and appended(ring, written):
                    written, count = written + 1, count - 1
            case "armed":
                ring.arm()
                assert ring.armed
                assert not writer.write(record(written))
            case "drained":
                for span, _ in zip(ring.unread(), range(count), strict=False):
                    read += numbers(span)
                    ring.consume(len(span))
    read += drained(ring)
    assert read == list(range(written))
    assert ring.lost == 0
    assert not ring.damaged


def test_a_record_of_a_trap_goes_behind_those_of_trampolines() -> None:
    ring = lent(RingPool(SHAPE, 1))
    writer = Writer(ring)
    assert writer.write(record(0))
    assert appended(ring, 1)
    assert writer.write(record(2))
    assert drained(ring) == [0, 1, 2]


def test_a_full_ring_takes_no_record_until_a_packet_was_read() -> None:
    ring = lent(RingPool(SHAPE, 1))
    writer = Writer(ring)
    assert all(writer.write(record(number)) for number in range(FULL))
    assert not writer.write(record(FULL))
    assert not appended(ring, FULL)
    first = next(iter(ring.unread()))
    assert numbers(first) == list(range(RECORDS_A_PACKET))
    ring.consume(len(first))
    assert writer.write(record(FULL))
    assert drained(ring) == list(range(RECORDS_A_PACKET, FULL + 1))


def test_an_armed_ring_traps_once_and_takes_the_record() -> None:
    ring = lent(RingPool(SHAPE, 1))
    writer = Writer(ring)
    ring.arm()
    assert not writer.write(record(0))
    assert appended(ring, 0)
    assert not ring.armed
    assert writer.write(record(1))
    assert drained(ring) == [0, 1]


def test_a_ring_that_drops_counts_what_it_drops() -> None:
    ring = lent(RingPool(SHAPE, 1), Overflow.DROP)
    writer = Writer(ring)
    written = sum(writer.write(record(number)) for number in range(FULL + 100))
    assert written == FULL
    assert ring.lost == 100
    assert drained(ring) == list(range(FULL))


@given(st.integers(0, 12 * RECORDS_A_PACKET))
def test_a_ring_that_overwrites_keeps_the_newest_records(count: int) -> None:
    ring = lent(RingPool(SHAPE, 1), Overflow.OVERWRITE)
    writer = Writer(ring)
    assert all(writer.write(record(number)) for number in range(count))
    kept = drained(ring)
    assert kept == list(range(count - len(kept), count))
    assert len(kept) + ring.lost == count
    assert len(kept) >= min(count, (SHAPE.packets - 2) * RECORDS_A_PACKET)


def test_a_ring_that_is_lent_again_is_empty() -> None:
    pool = RingPool(SHAPE, 1)
    ring = lent(pool)
    assert Writer(ring).write(record(0))
    assert pool.take() is None
    pool.give_back(ring)
    again = lent(pool)
    assert again is ring
    assert drained(again) == []
    assert Writer(again).write(record(5))
    assert drained(again) == [5]


@pytest.mark.parametrize("num_args", [1, 4, 16, 17, 64])
@pytest.mark.parametrize("packet_stride", [4096, 65536])
def test_the_end_of_a_packet_is_not_the_start_of_the_next(num_args: int, packet_stride: int) -> None:
    shape = RingShape(num_args, 16, packet_stride)
    assert shape.packet_payload % shape.record_size == 0
    assert 0 < shape.packet_payload < packet_stride - layout.PACKET_HEADER
    assert shape.size == layout.PAGE + 16 * packet_stride


@given(st.integers(0, (1 << 64) - 1))
def test_a_thread_has_two_neighbouring_places_in_the_table(fs_base: int) -> None:
    first, second = layout.table_offsets(fs_base)
    assert first ^ second == layout.TABLE_ENTRY
    assert all(0 <= place < layout.TABLE_SIZE and place % layout.TABLE_ENTRY == 0 for place in (first, second))


@pytest.mark.parametrize("size", [0, 2 * SHAPE.size])
def test_nobody_can_cut_the_memory_short_under_htrun(size: int) -> None:
    pool = RingPool(SHAPE, 1)
    with pytest.raises(PermissionError):
        os.ftruncate(pool.file, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(pool.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_a_pool_that_nobody_has_any_more_leaves_no_descriptor() -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        ring = RingPool(RingShape(1, 4, 4096), 1).take()
        assert ring is not None
        del ring
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
