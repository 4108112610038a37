"""A guest may write any data to its ring: htrun continues, and the events of other threads are not affected."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htrun.events.warnings import Kind, Warnings
from htrun.hosts.x86_64.counter import best_clock
from htrun.rings import layout
from htrun.rings.drain import Drain
from htrun.rings.ring import Overflow, Ring, RingPool
from tests.unit.rings.memory import BASE, RECORDS_A_PACKET, SHAPE, Writer, lent, numbers, record, stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.events.tracer_events import TracerRecords

WORDS = range(0, layout.TRAP_TIME + 8, 8)
_ARGUMENTS = bytes(SHAPE.record_size - layout.RECORD_HEADER)
_RING_AT = BASE + SHAPE.size
"""The offset of the control block of the ring in the middle."""

_values = st.one_of(
    st.integers(0, (1 << 64) - 1),
    st.sampled_from((0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, BASE, BASE - 1)),
    st.integers(0, SHAPE.size + 4096).map(lambda offset: _RING_AT + offset),
    st.integers(0, SHAPE.packets).map(lambda packet: _RING_AT + layout.PAGE + packet * SHAPE.packet_stride),
    st.integers(0, 100),
)
_actions = st.lists(
    st.one_of(
        st.tuples(st.just("word"), st.sampled_from(WORDS), _values),
        st.tuples(st.just("bytes"), st.integers(0, SHAPE.size - 64), st.binary(min_size=1, max_size=64)),
        st.tuples(st.just("append"), st.integers(1, 2 * RECORDS_A_PACKET), st.just(0)),
        st.tuples(st.just("write"), st.integers(1, 2 * RECORDS_A_PACKET), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, 5), st.just(0)),
        st.tuples(st.sampled_from(("arm", "disarm", "settle", "trap_time")), st.just(0), st.just(0)),
    ),
    max_size=30,
)


def act(ring: Ring, writer: Writer, what: str, one: int, other: int | bytes) -> None:
    """One operation on the ring, by the guest, or by htrun on behalf of the guest."""
    match what:
        case "word":
            assert isinstance(other, int)
            writer.put(one, other)
        case "bytes":
            assert isinstance(other, bytes)
            writer.put_bytes(one, other)
        case "append":
            for _ in range(one):
                ring.append(1, 2, 3, _ARGUMENTS)
        case "write":
            writer.write(record(one))
        case "read":
            read(ring)
        case "arm":
            ring.arm()
        case "disarm":
            ring.disarm()
        case "settle":
            ring.settle()
        case _:
            assert 0 <= ring.take_trap_time(1 << 50) <= 1 << 50


def read(ring: Ring) -> None:
    """The operations of the drain."""
    for span in ring.unread():
        assert len(span) % SHAPE.record_size == 0
        ring.consume(len(span))
    if ring.damaged:
        ring.repair()


@given(st.sampled_from(list(Overflow)), _actions)
def test_a_damaged_ring_harms_nobody_and_can_be_repaired(
    overflow: Overflow, actions: list[tuple[str, int, int | bytes]]
) -> None:
    pool = RingPool(SHAPE, 3)
    before, ring, behind = lent(pool), lent(pool, overflow), lent(pool)
    neighbours = [(neighbour, Writer(neighbour)) for neighbour in (before, behind)]
    for _, neighbour_writer in neighbours:
        assert all(neighbour_writer.write(record(number)) for number in range(100))
    writer = Writer(ring)
    lost = 0
    for what, one, other in actions:
        act(ring, writer, what, one, other)
        assert lost <= ring.lost < 1 << 50
        lost = ring.lost
    for neighbour, _ in neighbours:
        assert [number for span in neighbour.unread() for number in numbers(span)] == list(range(100))
        assert not neighbour.damaged
    ring.repair()
    fresh = Writer(ring)
    assert all(fresh.write(record(number)) for number in range(RECORDS_A_PACKET))
    assert [number for span in ring.unread() for number in numbers(span)] == list(range(RECORDS_A_PACKET))


@given(_actions)
def test_an_event_that_traps_is_recorded_or_lost_in_the_end(actions: list[tuple[str, int, int | bytes]]) -> None:
    pool = RingPool(SHAPE, 3)
    lent(pool)
    ring = lent(pool)
    writer = Writer(ring)
    for what, one, other in actions:
        act(ring, writer, what, one, other)
        for _ in range(20):
            if ring.append(1, 2, 3, _ARGUMENTS):
                break
            read(ring)
        else:
            raise AssertionError("the thread would wait for ever")


class Collected:
    """A sink that keeps the first argument of each event, by thread."""

    def __init__(self) -> None:
        self.by_tid: dict[int, list[int]] = {}

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        for event in events:
            self.by_tid.setdefault(streams[event["stream"]].tid, []).append(int(event["args"][0]))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextmanager
def scribbling(pool: RingPool, ring: Ring, seed: int) -> Iterator[None]:
    """During the block, another process overwrites ``ring`` with random bytes."""
    child = os.fork()
    if child == 0:
        rng, writer = random.Random(seed), Writer(ring)
        places = [ring.base + ring.offset + at for at in (0, layout.PAGE, layout.PAGE + 256, SHAPE.size)]
        while True:
            value = rng.choice((rng.getrandbits(64), rng.choice(places) + rng.randrange(0, 9000), rng.randrange(9)))
            writer.put(rng.choice(WORDS), value)
            writer.put_bytes(rng.randrange(0, SHAPE.size - 64), rng.randbytes(64))
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_invented_sites_do_not_fill_htruns_memory() -> None:
    pool = RingPool(SHAPE, 1)
    drain = Drain(pool, best_clock(), Warnings(quiet=True), sinks=[], packet_sink=lambda: None, overflow=Overflow.BLOCK)
    ring = drain.lend(stream(1), lambda _: BASE)
    writer = Writer(ring)
    for site in (1, 1, 2, 1 << 20, (1 << 32) - 1):
        assert writer.write(struct.pack("<QIIQQ", 5, site, 0, 0, 0))
    drain.close()
    assert drain.events == 5
    assert drain.site_events == {1: 2, 2: 1}


class Packets:
    """A packet sink that checks its input."""

    def __init__(self) -> None:
        self.lost: dict[int, int] = {}

    def write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        assert len(records) % SHAPE.record_size == 0
        assert discarded >= self.lost.get(stream.tid, 0)
        struct.pack("<Q", discarded)
        self.lost[stream.tid] = discarded

    def thread_ended(self, number: int) -> None:
        pass

    def write_tracer_records(self, records: TracerRecords, streams: Sequence[Stream]) -> None:
        pass

    def describe(self, facts: Mapping[str, str | int]) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("overflow", list(Overflow))
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1 << 32))
def test_the_drain_goes_on_while_a_guest_writes_all_over_its_ring(overflow: Overflow, seed: int) -> None:
    pool = RingPool(SHAPE, 2)
    clock, warnings, sink = best_clock(), Warnings(quiet=True), Collected()
    drain = Drain(pool, clock, warnings, sinks=[sink], packet_sink=Packets, overflow=overflow)
    # The process is created before there are threads in this one.
    victim, other = pool.take(), pool.take()
    assert victim is not None
    assert other is not None
    pool.give_back(victim)
    victim.base = BASE
    with scribbling(pool, victim, seed):
        victim = drain.lend(stream(1), lambda _: BASE)
        pool.give_back(other)
        other = drain.lend(stream(2), lambda _: BASE)
        writer = Writer(other)
        end, number = time.monotonic() + 0.5, 0
        while time.monotonic() < end:
            while not victim.append(clock.source.read(), 7, 1, _ARGUMENTS):
                drain.make_room()
            drain.wake()
            while overflow is Overflow.BLOCK and not writer.write(record(number, clock.source.read())):
                drain.make_room()
                assert other.append(clock.source.read(), 7, number % 1000, record(number)[layout.RECORD_HEADER :])
                break
            number += overflow is Overflow.BLOCK
    drain.close()
    assert sink.by_tid.get(2, []) == list(range(number))
    assert set(warnings.counts) <= {Kind.RING_DAMAGED.value}
