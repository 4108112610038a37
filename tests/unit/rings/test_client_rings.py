"""Rings of a channel are found, emptied and freed, and the records of each thread reach the sinks in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

import pytest

from htrun.channel import ring_layout
from htrun.channel.ring_layout import RingLayout, owner_word
from htrun.events.stream import Source, Stream
from htrun.rings.client_ring import ClientRing
from htrun.rings.client_rings import ClientRings, Taken
from htrun.rings.exchange import Exchange
from htrun.rings.machine_clock import Rates
from tests.unit.rings.client_memory import Writer, channel_file, numbers_of, small_rings

if TYPE_CHECKING:
    from htrun.rings.client_clock import Conversion
    from htrun.rings.client_ring import Client


class Channel:
    """A channel's rings, and the calls that were made for them."""

    def __init__(self, descriptor: int, layout: RingLayout) -> None:
        self.descriptor = descriptor
        self.layout = layout
        self.asked: list[int] = []
        self.damaged: list[int] = []
        self.found: Source | None = None
        clocks: dict[int, Conversion | None] = {ring_layout.CLOCK_TSC: None}
        self.rings = ClientRings(
            descriptor, layout, self.source_of, clocks, unknown_clock=self.no_clock, damaged=self.note_damage
        )

    def source_of(self, client: Client) -> Source:
        self.asked.append(client.tid)
        return self.found or Source(client.tid, Stream(client.tid, client.pid, 0, client.name, client.big_endian))

    def no_clock(self, client: Client) -> Conversion:
        raise AssertionError(client)

    def note_damage(self, client: Client) -> None:
        self.damaged.append(client.tid)

    def writer(self, tid: int, cookie: int = 0) -> Writer:
        return Writer(self.descriptor, self.layout, tid, cookie=cookie)

    def take(self, *, everything: bool = True, final: bool = False) -> dict[int, Taken]:
        return {taken.source.number: taken for taken in self.rings.take(everything=everything, final=final)}


@contextmanager
def channel(layout: RingLayout | None = None) -> Iterator[Channel]:
    layout = layout or small_rings()
    descriptor = channel_file(layout)
    try:
        yield Channel(descriptor, layout)
    finally:
        os.close(descriptor)


def test_nothing_is_there_before_a_client() -> None:
    with channel() as one:
        assert one.take() == {}
        assert not one.rings.in_use


def test_each_ring_is_its_owners() -> None:
    with channel() as one:
        writers = [one.writer(tid) for tid in (1, 2, 3, 4, 5, 6)]
        for tid, writer in enumerate(writers, 1):
            writer.emit(tid)
            writer.emit(10 * tid)
        taken = one.take()
        assert {tid: numbers_of(each.records) for tid, each in taken.items()} == {
            tid: [tid, 10 * tid] for tid in range(1, 7)
        }
        assert one.asked == [1, 2, 3, 4, 5, 6]
        assert one.take() == {}


def test_few_records_wait_for_a_full_round() -> None:
    with channel(small_rings(records=64)) as one:
        writer = one.writer(1)
        for number in range(3):
            writer.emit(number)
        assert one.take(everything=False) == {}
        writer.emit(3)
        assert numbers_of(one.take(everything=False)[1].records) == [0, 1, 2, 3]


def test_waiting_client_is_served_at_once() -> None:
    with channel(small_rings(records=64)) as one:
        writer = one.writer(1)
        writer.emit(0)
        writer.put_half(ring_layout.BELL, 1)
        taken = one.take(everything=False)[1]
        assert (numbers_of(taken.records), taken.fill) == ([0], inf)


def test_ring_of_a_thread_that_has_exited_is_free_again() -> None:
    with channel(small_rings(rings=1, chunk=1)) as one:
        for tid in range(1, 8):
            writer = one.writer(tid)
            for number in range(tid):
                writer.emit(number)
            writer.exit()
            taken = one.take()[tid]
            assert taken.ended
            assert numbers_of(taken.records) == list(range(tid))


def test_ring_of_a_killed_thread_is_free_again() -> None:
    with channel(small_rings(rings=1, chunk=1)) as one:
        for tid in range(1, 8):
            writer = one.writer(tid)
            writer.emit(tid)
            writer.reserve()
            one.rings.exited(owner_word(5, tid), tid, one.source_of)
            taken = one.take()[tid]
            assert taken.ended
            assert numbers_of(taken.records) == [tid]


def test_the_exit_of_an_earlier_image_leaves_the_ring_of_a_later_one() -> None:
    """An exec keeps the ids, and the later image has claimed the ring of the earlier image."""
    with channel(small_rings(rings=1, chunk=1)) as one:
        one.writer(1, cookie=10).emit(0)
        one.rings.ring_exited(0, owner_word(5, 1), 10, 1, one.source_of)
        assert one.take()[1].ended
        later = one.writer(1, cookie=11)
        one.rings.ring_exited(0, owner_word(5, 1), 10, 1, one.source_of)
        later.emit(1)
        taken = one.take()[1]
        assert (numbers_of(taken.records), taken.ended) == ([1], False)
        one.rings.ring_exited(0, owner_word(5, 1), 11, 1, one.source_of)
        one.rings.ring_exited(0, owner_word(5, 1), 10, 1, one.source_of)
        assert one.take()[1].ended


def test_ring_of_a_thread_that_exits_after_few_events_is_free_at_once() -> None:
    with channel(small_rings(rings=1, chunk=1)) as one:
        # Before the first round, no large package is imported.
        writer = one.writer(1)
        one.rings.exited(owner_word(5, 1), 1, one.source_of)
        assert writer.get(ring_layout.OWNER)
        assert one.take() == {}
        for tid in (2, 3, 4):
            for number in range(5):
                writer = one.writer(tid) if not number else writer
                writer.emit(number)
            one.rings.exited(owner_word(5, tid), tid, one.source_of)
            assert not writer.get(ring_layout.OWNER)
        taken = one.take()
        assert [numbers_of(taken[tid].records) for tid in (2, 3, 4)] == [list(range(5))] * 3
        assert all(each.ended for each in taken.values())
        assert one.take() == {}


def test_many_records_of_a_thread_that_exits_are_left_for_a_round() -> None:
    with channel(small_rings(records=512)) as one:
        assert one.take() == {}
        writer = one.writer(1)
        for number in range(300):
            writer.emit(number)
        one.rings.exited(owner_word(5, 1), 1, one.source_of)
        assert writer.get(ring_layout.OWNER)
        taken = one.take()[1]
        assert (numbers_of(taken.records), taken.ended) == (list(range(300)), True)
        assert not writer.get(ring_layout.OWNER)


def test_no_ring_is_emptied_at_once_while_the_drain_looks_at_rings() -> None:
    with channel() as one:
        writers = [one.writer(tid) for tid in (1, 2)]
        for tid, writer in enumerate(writers, 1):
            writer.emit(tid)
        round_ = one.rings.take(everything=True, final=False)
        assert numbers_of(next(round_).records) == [1]
        writers[1].emit(20)
        one.rings.exited(owner_word(5, 2), 2, one.source_of)
        assert writers[1].get(ring_layout.OWNER)
        assert [numbers_of(each.records) for each in round_] == [[2, 20]]
        assert one.take()[2].ended


def test_few_threads_that_have_exited_wait_for_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("htrun.rings.client_rings._MOST_READY", 2)
    with channel() as one:
        assert one.take() == {}
        writers = [one.writer(tid) for tid in (1, 2, 3)]
        for tid, writer in enumerate(writers, 1):
            writer.emit(tid)
            one.rings.exited(owner_word(5, tid), tid, one.source_of)
        assert [bool(writer.get(ring_layout.OWNER)) for writer in writers] == [False, False, True]
        taken = one.take()
        assert [numbers_of(taken[tid].records) for tid in (1, 2, 3)] == [[1], [2], [3]]
        assert not writers[2].get(ring_layout.OWNER)


def test_records_that_wait_for_a_round_can_be_discarded() -> None:
    with channel() as one:
        assert one.take() == {}
        writer = one.writer(1)
        for number in range(3):
            writer.emit(number)
        one.rings.exited(owner_word(5, 1), 1, one.source_of)
        assert one.rings.discard() == 3
        assert one.take() == {}


def test_after_a_round_that_failed_an_exit_waits_for_the_records_to_be_discarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_ring: ClientRing) -> None:
        raise ImportError

    with channel() as one:
        monkeypatch.setattr(ClientRing, "begin", fail)
        writer = one.writer(1)
        writer.emit(0)
        with pytest.raises(ImportError):
            one.take()
        one.rings.exited(owner_word(5, 1), 1, one.source_of)
        assert one.rings.discard() == 1
        assert not writer.get(ring_layout.OWNER)


def test_an_exit_that_fails_leaves_the_ring_to_be_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_ring: ClientRing) -> None:
        raise ValueError

    with channel() as one:
        assert one.take() == {}
        monkeypatch.setattr(ClientRing, "begin", fail)
        writer = one.writer(1)
        writer.emit(0)
        with pytest.raises(ValueError, match=r"^$"):
            one.rings.exited(owner_word(5, 1), 1, one.source_of)
        assert one.rings.discard() == 1
        assert not writer.get(ring_layout.OWNER)
        other = one.writer(2)
        other.emit(0)
        one.rings.exited(owner_word(5, 2), 2, one.source_of)
        assert one.rings.discard() == 1


def test_a_thread_may_exit_while_losses_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with channel() as one:
        writers = [one.writer(tid) for tid in (1, 2)]
        for writer in writers:
            writer.emit(0)
        assert len(one.take()) == 2

        def exit_meanwhile(_ring: ClientRing) -> int:
            one.rings.exited(owner_word(5, 1), 1, one.source_of)
            return 0

        monkeypatch.setattr(ClientRing, "lost", property(exit_meanwhile))
        assert one.rings.losses() == 0
        monkeypatch.undo()
        assert one.take()[1].ended


def test_ring_of_a_thread_that_died_before_its_first_event_is_free_again() -> None:
    with channel(small_rings(rings=1, chunk=1)) as one:
        writer = one.writer(1)
        writer.put_half(ring_layout.STATE, ring_layout.CLAIMED)
        assert one.take() == {}
        one.rings.exited(owner_word(5, 1), 1, one.source_of)
        assert one.take() == {}
        assert one.writer(2).number == 0


def test_exit_of_a_namesake_in_another_namespace_is_none() -> None:
    with channel() as one:
        writer = one.writer(1)
        writer.emit(0)
        # This thread is found as host thread 77.
        one.found = Source(77, Stream(77, 5))
        assert not one.take()[77].ended
        one.rings.exited(owner_word(5, 1), 78, one.source_of)
        writer.emit(1)
        assert not one.take()[77].ended
        one.rings.exited(owner_word(5, 1), 77, one.source_of)
        assert one.take()[77].ended


def test_exec_gives_the_ring_of_the_former_program_to_that() -> None:
    with channel() as one:
        old = one.writer(1)
        old.emit(0)
        one.rings.exited(owner_word(5, 1), 1, lambda client: Source(100, Stream(client.tid, client.pid)))
        new = one.writer(1)
        new.emit(1)
        taken = one.take()
        assert numbers_of(taken[100].records) == [0]
        assert taken[100].ended
        assert numbers_of(taken[1].records) == [1]
        assert not taken[1].ended


def test_damaged_ring_is_reported_once_and_nobody_gets_it() -> None:
    with channel(small_rings(rings=2, chunk=2)) as one:
        writer, other = one.writer(1), one.writer(2)
        writer.put(ring_layout.RESERVED, 1 << 40)
        other.emit(0)
        assert numbers_of(one.take()[2].records) == [0]
        assert one.damaged == [1]
        other.emit(1)
        assert numbers_of(one.take()[2].records) == [1]
        assert one.damaged == [1]
        one.rings.exited(owner_word(5, 1), 1, one.source_of)
        assert one.take() == {}
        with pytest.raises(StopIteration):
            one.writer(3)


def test_owner_that_is_wiped_out_ends_the_client() -> None:
    with channel() as one:
        writer = one.writer(1)
        writer.emit(0)
        assert numbers_of(one.take()[1].records) == [0]
        writer.emit(1)
        writer.put(ring_layout.OWNER, 0)
        taken = one.take()[1]
        assert (numbers_of(taken.records), taken.ended) == ([1], True)


def test_client_without_events_is_no_stream() -> None:
    with channel(small_rings(rings=1, chunk=1)) as one:
        writer = one.writer(1)
        assert one.take() == {}
        writer.exit()
        assert one.take() == {}
        assert one.asked == []
        one.writer(2).emit(0)
        assert numbers_of(one.take()[2].records) == [0]


def test_all_clients_end_with_the_run() -> None:
    with channel() as one:
        for tid in (1, 2):
            one.writer(tid).emit(tid)
        assert all(taken.ended for taken in one.take(final=True).values())


def test_discarded_records_are_counted_and_clients_go_on() -> None:
    with channel() as one:
        writer = one.writer(1)
        for number in range(16):
            writer.emit(number)
        assert not writer.has_room()
        assert one.rings.discard() == 16
        assert writer.has_room()
        one.rings.exited(owner_word(5, 1), 1, one.source_of)
        assert one.rings.discard() == 0
        assert one.writer(2).number == 0


def test_untouched_rings_take_no_memory() -> None:
    with channel(small_rings(rings=512, chunk=4)) as one:
        one.writer(1).emit(0)
        for _ in range(3):
            one.take()
        assert os.fstat(one.descriptor).st_blocks * 512 <= 16 * 4096


def machine_client(one: Channel, tid: int, answer: tuple[int, int]) -> Writer:
    """A thread of a machine that has written an ``answer``: the number, and the reading of its clock."""
    writer = one.writer(tid)
    writer.put_half(ring_layout.FLAGS, ring_layout.IN_MACHINE)
    writer.put(ring_layout.ANSWER, answer[1])
    writer.put_half(ring_layout.ANSWERED, answer[0])
    return writer


def test_times_of_machines_are_converted_by_their_answers() -> None:
    """The thread's time stamps are its numbers plus 10. Its clock shows 5,000 ticks less than the clock of htrun."""
    with channel() as one:
        asked: list[int] = []
        now = 5008
        one.rings.exchange = exchange = Exchange(
            lambda: now, asked.append, lambda _: [Rates(1.0, 1.0)], pause=0, jumped=asked.append
        )
        writer = machine_client(one, 7, (asked[-1], 8))
        writer.emit(5)
        now = 5020
        [records] = one.take()[7].records
        assert asked == [1, 2]
        account = exchange.account
        assert account is not None
        assert abs(int(records["timestamp"][0]) - 5015) <= account.error
        assert (account.answers, account.jumps, account.rate) == (1, 0, 1.0)
        writer.put_half(ring_layout.ANSWERED, 0)
        one.take()
        assert exchange.account == account, "the client is writing an answer"


def test_rings_of_a_machine_are_free_when_its_emulator_has_exited() -> None:
    with channel() as one:
        native = one.writer(6)
        machine = machine_client(one, 7, (0, 0))
        one.rings.exchange = Exchange(lambda: 100, lambda _: None, lambda _: [Rates(1.0, 1.0)], pause=0, jumped=print)
        for writer in (native, machine):
            writer.emit(1)
        one.take()
        machine.emit(2)
        one.rings.machine_exited()
        taken = one.take()
        assert taken[7].ended
        assert len(taken[7].records[0]) == 1
        assert machine.get(ring_layout.OWNER) == 0
        assert native.get(ring_layout.OWNER) != 0
