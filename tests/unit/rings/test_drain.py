"""The drain passes every record to every sink, in time order, and continues when sinks fail."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from htrun.events.definitions import PAGE_FAULT
from htrun.events.records import record_dtype
from htrun.events.sink import SinkError
from htrun.events.stream import Source
from htrun.events.tracer_events import TracerEvents
from htrun.events.warnings import Kind, Warnings
from htrun.hosts.x86_64.counter import best_clock
from htrun.rings import layout
from htrun.rings.client_rings import ClientRings
from htrun.rings.drain import Drain
from htrun.rings.ring import Overflow, Ring, RingPool
from tests.support.waiting import wait_until
from tests.unit.rings import client_memory
from tests.unit.rings.memory import BASE, RECORDS_A_PACKET, SHAPE, Writer, numbers, record, stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from htrun.events.records import Events
    from htrun.events.sink import PacketSink, Sink
    from htrun.events.stream import Stream
    from htrun.events.tracer_events import TracerRecords
    from htrun.rings.client_ring import Client

CLOCK = best_clock()
LONG = 50_000_000
"""ns: longer than events are held back."""
SILENCE = 0.1
"""A time in seconds that is much shorter than the default."""


class Seen:
    """A sink that remembers events as ``(tid, first argument)``."""

    def __init__(self, *, fails: Exception | None = None) -> None:
        self.events: list[tuple[int, int]] = []
        self.times: list[int] = []
        self.closed = 0
        self.fails = fails

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        if self.fails is not None:
            raise self.fails
        self.times += events["time"].tolist()
        self.events += [(streams[event["stream"]].tid, int(event["args"][0])) for event in events]

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


class SeenPackets:
    """A packet sink that remembers packets as ``(tid, numbers, discarded)``."""

    def __init__(self) -> None:
        self.packets: list[tuple[int, list[int], int]] = []

    def write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        self.packets.append((stream.tid, numbers(records), discarded))

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


def make(
    *sinks: Sink,
    packets: PacketSink | None = None,
    rings: int = 4,
    overflow: Overflow = Overflow.BLOCK,
    silence: float | None = None,
) -> tuple[Drain, Warnings]:
    """A drain that never sleeps, unless ``silence`` is given. A sleeping drain arms the rings, which then accept no
    records."""
    warnings = Warnings(quiet=True)
    pool = RingPool(SHAPE, rings)
    drain = Drain(pool, CLOCK, warnings, sinks=sinks, packet_sink=lambda: packets, overflow=overflow, silence=silence)
    return drain, warnings


def emit(writer: Writer, number: int) -> None:
    assert writer.write(record(number, CLOCK.source.read()))


def trap(drain: Drain, ring: Ring, number: int) -> None:
    data = record(number)[layout.RECORD_HEADER :]
    while not ring.append(CLOCK.source.read(), 7, number % 1000, data):
        drain.make_room()
    drain.wake()


def emit_or_trap(drain: Drain, writer: Writer, ring: Ring, number: int) -> None:
    """Like a thread, which traps if it finds its ring armed."""
    if not writer.write(record(number, CLOCK.source.read())):
        trap(drain, ring, number)


def test_events_of_all_threads_come_in_time_order() -> None:
    sink, packets = Seen(), SeenPackets()
    drain, _ = make(sink, packets=packets)
    writers = [Writer(drain.lend(stream(tid), lambda _: BASE)) for tid in (1, 2, 3)]
    expected = []
    for number in range(200):
        emit(writers[number % 3], number)
        expected.append((number % 3 + 1, number))
    drain.close()
    assert sink.events == expected
    assert sink.times == sorted(sink.times)
    assert drain.events == 200
    for tid in (1, 2, 3):
        in_packets = [number for packet in packets.packets if packet[0] == tid for number in packet[1]]
        assert in_packets == [number for number in range(200) if number % 3 + 1 == tid]
    assert sink.closed == 1


def test_what_is_left_in_a_packet_for_later_may_be_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that takes only full packets does not release events, since events of another thread may be older."""
    now = [0]
    monkeypatch.setattr("htrun.events.order.time.monotonic_ns", lambda: now[0])
    sink = Seen()
    drain, _ = make(sink)
    first, second = (Writer(drain.lend(stream(tid), lambda _: BASE)) for tid in (1, 2))
    older, younger = CLOCK.source.read(), CLOCK.source.read()

    def look(*, partial: bool) -> None:
        now[0] += LONG
        drain._partial_at = 0.0 if partial else float("inf")
        drain._collect()

    with drain._lock:
        assert second.write(record(2, younger))
        look(partial=True)
        # The first thread's ring was read just before.
        assert first.write(record(1, older))
        for _ in range(4):
            look(partial=False)
    drain.close()
    assert sink.events == [(1, 1), (2, 2)]


def test_events_come_while_the_program_runs_and_after_a_rest() -> None:
    sink = Seen()
    drain, _ = make(sink, silence=SILENCE)
    ring = drain.lend(stream(1), lambda _: BASE)
    writer = Writer(ring)
    emit_or_trap(drain, writer, ring, 0)
    wait_until(lambda: sink.events == [(1, 0)], "the first event")
    wait_until(lambda: ring.armed, "a reader that rests")
    trap(drain, ring, 1)
    emit_or_trap(drain, writer, ring, 2)
    wait_until(lambda: sink.events == [(1, 0), (1, 1), (1, 2)], "the events behind the rest")
    drain.close()


def test_a_full_ring_is_emptied_for_the_next_record() -> None:
    sink = Seen()
    drain, _ = make(sink)
    ring = drain.lend(stream(1), lambda _: BASE)
    count = 5 * SHAPE.packets * RECORDS_A_PACKET
    for number in range(count):
        trap(drain, ring, number)
    drain.close()
    assert sink.events == [(1, number) for number in range(count)]
    assert drain.lost == 0


class SlowPackets(SeenPackets):
    """A packet sink that is busy with a packet until the test lets it continue, and remembers its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.may_go_on = threading.Event(), threading.Event()
        self.done: list[str] = []

    def write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        self.busy.set()
        self.may_go_on.wait()
        self.done.append("packet")

    def describe(self, facts: Mapping[str, str | int]) -> None:
        self.done.append("described")


def test_a_trace_is_not_described_while_it_is_written() -> None:
    """Both may write the metadata."""
    packets = SlowPackets()
    drain, _ = make(packets=packets)
    emit(Writer(drain.lend(stream(1), lambda _: BASE)), 0)
    packets.busy.wait()
    describing = threading.Thread(target=drain.describe, args=({},))
    describing.start()
    # If describing could overtake the packet, it would do so now.
    describing.join(0.2)
    packets.may_go_on.set()
    describing.join()
    drain.close()
    assert packets.done == ["packet", "described"]


def test_a_ring_is_lent_again_when_its_thread_has_ended() -> None:
    sink = Seen()
    drain, _ = make(sink, rings=1)
    for tid in range(1, 6):
        ring = drain.lend(stream(tid), lambda _: BASE)
        emit(Writer(ring), tid)
        drain.end(ring)
    drain.close()
    assert sink.events == [(tid, tid) for tid in range(1, 6)]


def test_threads_beyond_the_pool_get_rings_that_only_traps_fill() -> None:
    sink = Seen()
    drain, _ = make(sink, rings=2)
    rings = [drain.lend(stream(tid), lambda _: BASE) for tid in range(1, 6)]
    assert [bool(ring.base) for ring in rings] == [True, True, False, False, False]
    for ring in rings:
        assert ring.stream is not None
        trap(drain, ring, ring.stream.tid)
    drain.close()
    assert sink.events == [(tid, tid) for tid in range(1, 6)]


@pytest.mark.parametrize(
    "failure",
    [
        SinkError("cannot write /dev/full: No space left on device"),
        UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"),
    ],
)
def test_a_sink_that_fails_is_left_out_and_the_others_go_on(failure: Exception) -> None:
    """This is true of any exception."""
    failing, sink, packets = Seen(fails=failure), Seen(), SeenPackets()
    drain, warnings = make(failing, sink, packets=packets)
    writer = Writer(drain.lend(stream(1), lambda _: BASE))
    emit(writer, 0)
    wait_until(lambda: len(sink.events) == 1, "the event")
    emit(writer, 1)
    drain.close()
    assert sink.events == [(1, 0), (1, 1)]
    assert (failing.closed, sink.closed) == (1, 1)
    assert drain.failure is None
    assert warnings.counts == {Kind.SINK.value: 1}
    assert [number for packet in packets.packets for number in packet[1]] == [0, 1]


@pytest.mark.parametrize("overflow", [Overflow.DROP, Overflow.OVERWRITE])
def test_losses_are_told_to_the_trace_and_summed(overflow: Overflow) -> None:
    packets = SeenPackets()
    drain, _ = make(packets=packets, overflow=overflow)
    ring = drain.lend(stream(1), lambda _: BASE)
    writer = Writer(ring)
    count = 40 * RECORDS_A_PACKET
    # No records are taken out in this time, so some are lost, even on a slow machine.
    with drain._lock:
        for number in range(count // 2):
            writer.write(record(number, CLOCK.source.read()))
    for number in range(count // 2, count):
        writer.write(record(number, CLOCK.source.read()))
    drain.end(ring)
    drain.close()
    assert drain.events + drain.lost == count
    assert packets.packets[-1][2] == drain.lost > 0
    assert [packet[2] for packet in packets.packets] == sorted(packet[2] for packet in packets.packets)
    kept = [number for packet in packets.packets for number in packet[1]]
    assert kept == sorted(set(kept))
    if overflow is Overflow.OVERWRITE:
        assert kept[-1] == count - 1
    else:
        assert kept[0] == 0


def test_a_drain_that_never_lent_a_ring_closes_its_sinks() -> None:
    sink = Seen()
    drain, _ = make(sink)
    drain.close()
    assert sink.events == []
    assert sink.closed == 1


def test_a_drain_that_fails_goes_on_emptying_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain counts the events that it cannot record. Sinks keep the events that they have, and the loss is reported
    to them."""
    sink, packets = Seen(), SeenPackets()
    drain, warnings = make(sink, packets=packets)
    ring = drain.lend(stream(1), lambda _: BASE)
    writer = Writer(ring)
    emit_or_trap(drain, writer, ring, 0)
    wait_until(lambda: len(sink.events) == 1, "the event")

    def broken(*_: object) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr("htrun.rings.drain.decode", broken)
    for number in range(1, 10 * RECORDS_A_PACKET):
        emit_or_trap(drain, writer, ring, number)
    drain.close()
    assert drain.failure == "ValueError: a mistake"
    assert warnings.counts == {Kind.INTERNAL.value: 1}
    assert (drain.events, drain.lost) == (1, 10 * RECORDS_A_PACKET - 1)
    assert sink.events == [(1, 0)]
    assert sink.closed == 1


def test_events_of_a_site_that_cannot_be_are_not_counted_by_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest can write any number there, and each counted site takes memory."""
    monkeypatch.setattr("htrun.rings.drain._MOST_SITES", 7)
    drain, _ = make()
    ring = drain.lend(stream(1), lambda _: BASE)
    emit_or_trap(drain, Writer(ring), ring, 0)
    drain.close()
    assert (drain.events, dict(drain.site_events)) == (1, {})


class SeenClients(SeenPackets):
    """The numbers of the records of clients."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        self.numbers += np.frombuffer(records, record_dtype(SHAPE.num_args, False))["args"][:, 0].tolist()


def test_records_of_clients_are_given_at_once_unless_a_thread_may_store_as_well() -> None:
    seen = SeenClients()
    drain, warnings = make(packets=seen)
    # As within a burst: no round takes records from packets that are not full.
    drain._partial_at = float("inf")
    rings_layout = client_memory.small_rings(records=64)
    descriptor = client_memory.channel_file(rings_layout)
    client = client_memory.Writer(descriptor, rings_layout, 1, pid=1)

    def never(client: Client) -> NoReturn:
        raise AssertionError(client)

    def source(client: Client) -> Source:
        return Source(drain.add_stream(stream(client.tid)), stream(client.tid))

    clients = ClientRings(descriptor, rings_layout, source, {0: None}, unknown_clock=never, damaged=never)
    clients.processes.add(1)
    for number in range(8):
        client.emit(number)
    drain.watch(clients)
    drain.make_room()
    assert seen.numbers == list(range(8))
    drain.lend(stream(1), lambda _: BASE)
    for number in range(8, 16):
        client.emit(number)
    drain.make_room()
    assert seen.numbers == list(range(8))
    drain.close()
    assert seen.numbers == list(range(16))
    assert not warnings.counts
    os.close(descriptor)


def test_a_thread_that_was_lent_a_ring_ahead_is_asked_for_when_it_has_emitted() -> None:
    sink = Seen()
    drain, _ = make(sink)
    asked: list[int] = []

    def who(tid: int) -> Source:
        asked.append(tid)
        return Source(drain.add_stream(stream(tid)), stream(tid))

    rings = [drain.lend_ahead(stream(0), functools.partial(who, tid), lambda _: BASE) for tid in (1, 2)]
    silent, emitting = (ring for ring in rings if ring is not None)
    assert silent.is_unused
    emit(Writer(emitting), 7)
    assert not emitting.is_unused
    drain.end(silent)
    drain.end(emitting)
    drain.close()
    assert (sink.events, asked, len(drain.streams)) == ([(2, 7)], [2], 1)


def test_no_ring_is_lent_ahead_that_is_not_mapped() -> None:
    drain, _ = make(Seen())
    assert drain.lend_ahead(stream(1), lambda: Source(0, stream(1)), lambda _: None) is None
    first = drain.lend_ahead(stream(1), lambda: Source(0, stream(1)), lambda number: None if number else BASE)
    assert first is not None
    assert drain.lend_ahead(stream(2), lambda: Source(1, stream(2)), lambda number: None if number else BASE) is None
    drain.close()


def test_a_ring_that_is_lent_ahead_while_the_drain_sleeps_wakes_it() -> None:
    sink = Seen()
    drain, _ = make(sink, silence=SILENCE)
    before = drain.lend(stream(1), lambda _: BASE)
    emit_or_trap(drain, Writer(before), before, 0)
    wait_until(lambda: before.armed, "a reader that rests")
    ring = drain.lend_ahead(stream(2), lambda: Source(drain.add_stream(stream(2)), stream(2)), lambda _: BASE)
    assert ring is not None
    assert ring.armed
    trap(drain, ring, 1)
    wait_until(lambda: sink.events == [(1, 0), (2, 1)], "the event after the rest")
    drain.close()


def test_packets_have_no_sink_before_the_first_round() -> None:
    """No thread waits until it is created."""
    made: list[SeenPackets] = []

    def make_sink() -> PacketSink:
        made.append(SeenPackets())
        return made[-1]

    pool = RingPool(SHAPE, 1)
    drain = Drain(pool, CLOCK, Warnings(quiet=True), sinks=[], packet_sink=make_sink, overflow=Overflow.BLOCK)
    ring = drain.lend(stream(1), lambda _: BASE)
    assert not made
    trap(drain, ring, 1)
    drain.close()
    assert [each.packets for each in made] == [[(1, [1], 0)]]


def test_facts_have_a_sink_without_an_event() -> None:
    described: list[Mapping[str, str | int]] = []

    class Described(SeenPackets):
        def describe(self, facts: Mapping[str, str | int]) -> None:
            described.append(facts)

    pool = RingPool(SHAPE, 1)
    drain = Drain(pool, CLOCK, Warnings(quiet=True), sinks=[], packet_sink=Described, overflow=Overflow.BLOCK)
    drain.describe({"a": 1})
    drain.close()
    assert described == [{"a": 1}]


def test_the_threads_that_a_sink_gets_do_not_change_while_it_writes() -> None:
    """The tracer adds threads at any time."""
    seen: list[tuple[int, int]] = []

    def count(streams: Sequence[Stream]) -> None:
        before = len(streams)
        drain.add_stream(stream(before))
        seen.append((before, len([each.pid for each in streams])))

    class Counting(Seen):
        def write(self, events: Events, streams: Sequence[Stream]) -> None:
            count(streams)

    class CountingPackets(SeenPackets):
        def write_tracer_records(self, records: TracerRecords, streams: Sequence[Stream]) -> None:
            count(streams)

    def facts_before(events: Events | None, streams: Sequence[Stream]) -> Mapping[str, str | int]:
        count(streams)
        return {}

    tracer_events = TracerEvents()
    drain = Drain(
        RingPool(SHAPE, 1),
        CLOCK,
        Warnings(quiet=True),
        sinks=[Counting()],
        packet_sink=CountingPackets,
        overflow=Overflow.BLOCK,
        tracer_events=tracer_events,
        facts_before=facts_before,
    )
    drain.add_stream(stream(1))
    tracer_events.append(CLOCK.source.read(), 0, [(PAGE_FAULT, (1,))])
    drain.close()
    assert len(seen) == 3
    assert all(before == after for before, after in seen)
