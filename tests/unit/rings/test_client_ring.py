"""A ring of the channel returns every finished record exactly once and in order, for any behaviour of its client."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.channel import ring_layout
from htrun.channel.ring_layout import RingLayout
from htrun.rings.client_ring import ClientRing
from tests.unit.rings.client_memory import Writer, channel_file, numbers_of, small_rings

PIECE = 3


@pytest.fixture(scope="module", autouse=True, params=["usual", "pieces"])
def sizes(request: pytest.FixtureRequest) -> Iterator[None]:
    """The few records of the tests are taken in the usual way, and in the way for many records: in pieces, and checked
    by numpy."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pieces":
            patch.setattr("htrun.rings.client_ring._FEW", 0)
            patch.setattr("htrun.rings.client_ring._PIECE", PIECE)
        yield


@contextmanager
def taken_ring(
    layout: RingLayout | None = None, *, big_endian: bool = False, start: int = 0
) -> Iterator[tuple[ClientRing, Writer]]:
    """A ring, and the thread that owns it. ``start``: the number of records of former owners."""
    layout = layout or small_rings()
    descriptor = channel_file(layout)
    try:
        writer = Writer(descriptor, layout, big_endian=big_endian)
        memory = memoryview(mmap.mmap(descriptor, layout.size, offset=layout.offset))
        ring = ClientRing(0, memory[: layout.stride], layout)
        if start:
            writer.put(ring_layout.RESERVED, start)
            ring.discard()
        ring.begin()
        ring.damaged = False
        yield ring, writer
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("start", [0, 5, 16 * ring_layout.LAPS - 3])
def test_every_record_comes_once_and_in_order_through_many_laps(start: int, big_endian: bool) -> None:
    with taken_ring(big_endian=big_endian, start=start) as (ring, writer):
        found, number = [], 0
        for count in [1, 0, 15, 16, 3, 7, 16, 2] * 5:
            for _ in range(count):
                writer.emit(number)
                number += 1
            found += numbers_of(ring.take(ended=False))
            assert len(found) == number
        assert found == list(range(number))
        assert not ring.damaged


def test_says_who_the_owner_is() -> None:
    with taken_ring(big_endian=True) as (ring, _):
        assert ring.client is not None
        assert (ring.client.pid, ring.client.tid, ring.client.name, ring.client.big_endian) == (5, 7, "writer", True)


def test_unfinished_last_record_is_taken_when_it_is_finished() -> None:
    with taken_ring() as (ring, writer):
        writer.emit(0)
        record = writer.reserve()
        assert numbers_of(ring.take(ended=False)) == [0]
        assert numbers_of(ring.take(ended=False)) == []
        writer.commit(record, 1)
        assert numbers_of(ring.take(ended=False)) == [1]


def test_records_after_an_unfinished_one_wait_a_moment_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("htrun.rings.client_ring.time.monotonic", lambda: now)
    with taken_ring() as (ring, writer):
        hole = writer.reserve()
        writer.emit(1)
        assert numbers_of(ring.take(ended=False)) == []
        writer.commit(hole, 0)
        assert numbers_of(ring.take(ended=False)) == [0, 1]
        hole = writer.reserve()
        writer.emit(3)
        assert numbers_of(ring.take(ended=False)) == []
        # A thread may wait that long for a processor.
        now += 1
        assert numbers_of(ring.take(ended=False)) == []
        now += 1
        assert numbers_of(ring.take(ended=False)) == [3]
        assert writer.get(ring_layout.RELEASED) == hole
        writer.commit(hole, 2)
        writer.emit(4)
        assert numbers_of(ring.take(ended=False)) == [2, 4]
        assert writer.get(ring_layout.RELEASED) == 5


def test_record_that_is_never_finished_does_not_stop_the_ring() -> None:
    """The client takes a record's number first, and then waits for room."""
    with taken_ring() as (ring, writer):
        writer.reserve()
        found = []
        for number in range(100):
            record = writer.reserve()
            if not writer.has_room_for(record):
                found += numbers_of(ring.take(ended=False))
            assert writer.has_room_for(record)
            writer.commit(record, number)
        found += numbers_of(ring.take(ended=True))
        assert found == list(range(100))


def test_no_room_is_given_beyond_an_unfinished_record_before_the_client_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a client that waits checks whether it must leave the position of the next lap free."""
    now = 100.0
    monkeypatch.setattr("htrun.rings.client_ring.time.monotonic", lambda: now)
    with taken_ring() as (ring, writer):
        hole = writer.reserve()
        for number in range(1, 16):
            writer.emit(number)
            ring.take(ended=False)
            now += 1
        assert writer.get(ring_layout.RELEASED) == hole
        writer.reserve()
        ring.take(ended=False)
        assert writer.get(ring_layout.RELEASED) == 16


def test_a_client_that_drops_events_gets_room_beyond_an_abandoned_record(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("htrun.rings.client_ring.time.monotonic", lambda: now)
    with taken_ring(small_rings(overflow=ring_layout.DROP)) as (ring, writer):
        hole = writer.reserve()
        for number in range(1, 16):
            writer.emit(number)
        for seconds in (0.0, 0.5, 0.4):
            now += seconds
            ring.take(ended=False)
            assert writer.get(ring_layout.RELEASED) == hole
        now += 0.2
        ring.take(ended=False)
        assert writer.get(ring_layout.RELEASED) == 16


def test_next_owner_of_a_ring_has_its_own_records_only() -> None:
    layout = small_rings()
    descriptor = channel_file(layout)
    try:
        memory = memoryview(mmap.mmap(descriptor, layout.size, offset=layout.offset))
        ring = ClientRing(0, memory[: layout.stride], layout)
        for life in range(20):
            writer = Writer(descriptor, layout, tid=life + 1)
            assert writer.number == 0
            ring.begin()
            expected = [100 * life + each for each in range(11)]
            for number in expected:
                writer.emit(number)
            # Killed within an event.
            writer.reserve()
            writer.exit()
            assert ring.state == ring_layout.ENDED
            assert numbers_of(ring.take(ended=True)) == expected
            assert ring.free()
            assert (ring.owner, ring.state) == (0, ring_layout.FREE)
    finally:
        os.close(descriptor)


def test_dropped_events_are_counted_for_each_owner() -> None:
    with taken_ring(small_rings(overflow=ring_layout.DROP)) as (ring, writer):
        writer.put(ring_layout.DROPPED, 5)
        assert ring.lost == 5
        assert ring.free()
        ring.begin()
        assert ring.lost == 0
        writer.put(ring_layout.DROPPED, 7)
        assert ring.lost == 2
        writer.put(ring_layout.DROPPED, 6)
        assert ring.lost == 2


def test_ring_that_is_overwritten_gives_the_newest_at_the_end() -> None:
    with taken_ring(small_rings(overflow=ring_layout.OVERWRITE)) as (ring, writer):
        for number in range(40):
            writer.commit(writer.reserve(), number)
        assert ring.take(ended=False) == []
        assert numbers_of(ring.take(ended=True)) == list(range(24, 40))
        assert ring.lost == 24
        assert ring.free()


def test_waiting_client_is_seen_once() -> None:
    with taken_ring() as (ring, writer):
        assert not ring.waits()
        writer.put_half(ring_layout.BELL, 1)
        assert ring.waits()
        assert not ring.waits()


@pytest.mark.parametrize("big_endian", [False, True])
def test_client_may_write_over_each_piece_that_was_copied(big_endian: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("htrun.rings.client_ring._FEW", 0)
    monkeypatch.setattr("htrun.rings.client_ring._PIECE", PIECE)
    with taken_ring(big_endian=big_endian) as (ring, writer):
        for number in range(16):
            writer.emit(number)
        released, copy = [], ring._copy_to

        def emit_and_copy(*where: Any) -> None:
            released.append(writer.get(ring_layout.RELEASED))
            if writer.has_room():
                writer.emit(15 + len(released))
            copy(*where)

        monkeypatch.setattr(ring, "_copy_to", emit_and_copy)
        assert numbers_of(ring.take(ended=False)) == list(range(16))
        assert released == [0, 3, 6, 9, 12, 15]
        assert numbers_of(ring.take(ended=False)) == list(range(17, 22))


def test_client_that_waits_for_room_has_reserved_more_than_there_is() -> None:
    with taken_ring() as (ring, writer):
        for number in range(16):
            writer.emit(number)
        waiting = writer.reserve()
        assert numbers_of(ring.take(ended=False)) == list(range(16))
        writer.commit(waiting, 16)
        assert numbers_of(ring.take(ended=False)) == [16]


@given(st.lists(st.sampled_from(["emit", "open", "close", "take"]), max_size=200))
def test_nested_events_in_any_order(steps: list[str]) -> None:
    """Handlers interrupt events, which continue when the handlers have returned. The oldest event may wait for a long
    time."""
    with taken_ring() as (ring, writer):
        found: list[int] = []
        opened: list[tuple[int, int]] = []
        number, finished, passed = 0, set(), set()
        for step in steps:
            if step != "take" and step != "close" and not writer.has_room():
                found += numbers_of(ring.take(ended=False))
                if not writer.has_room():
                    continue
            if step == "emit":
                writer.emit(number)
                finished.add(number)
                number += 1
            elif step == "open":
                opened.append((writer.reserve(), number))
                number += 1
            elif step == "close" and opened:
                record, which = opened.pop()
                # If the room was needed for another event, it is too late, and the event does not count as emitted.
                if record >= writer.get(ring_layout.RELEASED):
                    writer.commit(record, which)
                    finished.add(which)
                else:
                    passed.add(which)
            else:
                found += numbers_of(ring.take(ended=False))
        found += numbers_of(ring.take(ended=True))
        assert sorted(found) == sorted(finished)
        assert not ring.damaged


HOSTILE_WORDS = st.sampled_from([0, 1, 15, 16, 17, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.sampled_from([0, 8, 16, 0x40, 0x48, 0x50, 0x80, 0xC0]), HOSTILE_WORDS | st.integers(0, (1 << 64) - 1)
            ),
            st.tuples(st.integers(4096, 4096 + 16 * 32 - 8), st.integers(0, (1 << 64) - 1)),
            st.just((-1, 0)),
            st.just((-2, 0)),
        ),
        max_size=60,
    ),
    st.sampled_from([ring_layout.BLOCK, ring_layout.DROP, ring_layout.OVERWRITE]),
)
def test_hostile_client_gets_nothing_but_its_own_ring(steps: list[tuple[int, int]], overflow: int) -> None:
    layout = small_rings(overflow=overflow)
    with taken_ring(layout) as (ring, writer):
        neighbours = writer.neighbours()
        number = 0
        for at, value in steps:
            if at == -1:
                assert sum(map(len, ring.take(ended=False))) <= 2 * layout.records
            elif at == -2 and writer.has_room():
                writer.emit(number)
                number += 1
            elif at >= 0:
                writer.put(at, value)
            assert 0 <= ring.unread() <= layout.records
            assert ring.lost >= 0
        assert sum(map(len, ring.take(ended=True))) <= 2 * layout.records
        if ring.free():
            # The next owner starts with an empty ring.
            assert writer.get(ring_layout.RESERVED) == writer.get(ring_layout.RELEASED)
        assert writer.neighbours() == neighbours
