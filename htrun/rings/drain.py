"""The drain: takes records out of the rings in batches and passes them to the sinks.

A separate thread, the drain's thread, does this while records come. After a long time without records, it arms the
rings, so that the next event traps, and sleeps until this trap. So an idle guest costs nothing. This trap takes about
0.4 ms. It comes after the event's time stamp, so it lengthens a span that begins with the event. For this reason the
drain waits for a long time before it sleeps. If exact times are needed, the drain never sleeps.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from htrun.events.clock import Clock
from htrun.events.definitions import DEFINITIONS, HYPERTRACE, SYSCALL_ARGS, USER_SYSCALL_TEXT
from htrun.events.order import TimeOrder
from htrun.events.records import decode, decode_tracer_records, record_dtype
from htrun.events.sink import LossSink, PacketSink, Sink, decodes, failure_of
from htrun.events.stream import Source, Stream, StreamTable
from htrun.events.warnings import Kind, Warnings
from htrun.rings.ahead import FEW, keep_ahead
from htrun.rings.calm import PAUSE, Calm
from htrun.rings.freed_memory import keep_some
from htrun.rings.pace import PERIOD, Pace
from htrun.rings.ring import Overflow, Ring, RingPool
from htrun.rings.thread_order import ThreadOrder

if TYPE_CHECKING:
    from htrun.events.records import Events, Records
    from htrun.events.tracer_events import TracerEvents, TracerRecords
    from htrun.rings.client_rings import ClientRings

_MOST_SITES = 1 << 20
"""The number of sites for which events are counted separately."""
_MANY_ENDED = 16
"""The number of exited threads after which the drain starts a round immediately. The next threads need the rings of
these threads, because processes have no other rings mapped (`htrun.intercept.ring_maps`)."""
SILENCE = 10.0
"""The time in seconds without a record after which the drain sleeps.

This time is long because a guest that emits now and then, such as a server, should not trap. Polling about 70 times a
second costs 2% of a processor.
"""
_QUIET_PERIOD = 0.05
"""The time in seconds between two rounds after such a silence, if clients write their records themselves. Such clients
do not wake the drain."""


class KernelEvents(Protocol):
    """Events that the kernel records. ``lost``: the number of records that were lost so far. ``fill``: the filled
    fraction of the fullest buffer at the last `take`."""

    lost: int
    fill: float

    def take(self, *, everything: bool) -> TracerRecords | None:
        """Take the records that are older than any record that may still arrive, or all records if ``everything``.
        Returns them in order of time; None if there are none."""


class _Silence:
    """Measures the time since the last record. After half of ``seconds`` the rings are armed; after the other half the
    drain sleeps. If ``seconds`` is None, the drain neither arms the rings nor sleeps. When the rings are armed, a
    thread may already have checked that its ring has room. A thread that has read its ring before it was armed can
    write its record during the second half."""

    def __init__(self, seconds: float | None) -> None:
        self._half = float("inf") if seconds is None else seconds / 2
        self.broken()

    def broken(self) -> None:
        """Restart the measurement, because a record has come."""
        self._since, self._armed = time.monotonic(), False

    def is_time_to_arm(self) -> bool:
        """Whether the first half has ended since the last call."""
        if self._armed or time.monotonic() - self._since < self._half:
            return False
        self._since, self._armed = time.monotonic(), True
        return True

    def is_time_to_sleep(self) -> bool:
        """Whether the second half is over, too."""
        return self._armed and time.monotonic() - self._since >= self._half

    def is_long(self) -> bool:
        """Whether both halves are over."""
        return time.monotonic() - self._since >= 2 * self._half


class Drain:
    """Lends rings to threads and empties these rings. Public methods may be called from any thread of htrun."""

    def __init__(
        self,
        pool: RingPool,
        clock: Clock,
        warnings: Warnings,
        *,
        sinks: Sequence[Sink],
        packet_sink: Callable[[], PacketSink | None],
        overflow: Overflow,
        tracer_events: TracerEvents | None = None,
        kernel_events: KernelEvents | None = None,
        silence: float | None = SILENCE,
        facts_before: Callable[[Events | None, Sequence[Stream]], Mapping[str, str | int]] | None = None,
    ) -> None:
        """``packet_sink``: makes the sink that takes packets, if there is one. It is called in the first round, for
        which no thread waits.

        ``facts_before``: called in each round that took records, with the events that the sinks get next, and the
        streams. Returns new facts about the run.

        ``tracer_events``: the events that the tracer itself records, which are drained like a ring; None if there
        are none. ``kernel_events``: the events that the kernel records; None if there are none.

        ``silence``: the time in seconds without a record after which the drain sleeps, so that the next event traps;
        None if the drain never sleeps.
        """
        self.events = 0
        self.lost = 0
        self.failure: str | None = None
        """The error that has stopped the recording before the program exited; None if there was no such error."""
        self.site_events: Counter[int] = Counter()
        """The number of events of each site, according to the guest's memory. The keys are the numbers of the sites."""
        self.kinds: Counter[str] = Counter()
        """The number of events of each kind. The keys are the kinds' names in `DEFINITIONS`."""
        self.streams = StreamTable()
        self._pool = pool
        self._spare_pools: list[RingPool] = []
        self._clock = clock
        self._warnings = warnings
        self._sinks = list(sinks)
        self._make_packet_sink: Callable[[], PacketSink | None] | None = packet_sink
        self._packet_sink: PacketSink | None = None
        self._facts_before = facts_before
        self._overflow = overflow
        self._rings: dict[Ring, None] = {}
        self._order = TimeOrder(clock)
        self._client_rings: ClientRings | None = None
        self._thread_order = ThreadOrder()
        self._tracer_events = tracer_events
        self._kernel_events = kernel_events
        self._has_others = tracer_events is not None or kernel_events is not None
        """Whether there are other events than those of rings."""
        self._room = max(pool.shape.num_args, SYSCALL_ARGS if self._has_others else 0)
        self._in_hand = 0
        """The number of records that this round has taken out of their rings, but that ``events`` does not include
        yet."""
        self._partial_at = 0.0
        self._pace = Pace()
        self._ended = 0
        """The number of threads that have exited since the last round."""
        self._wakes = 0
        self._was_full = False
        """Whether a ring was full."""
        self._told_lost = 0
        self._last_time = time.time_ns()
        self._lock = threading.Lock()
        """The lock that is held for a whole round. Lending a ring does not wait for this lock."""
        self._lending = threading.Lock()
        """The lock that guards the pools and `streams`."""
        self._armed = False
        """Whether the rings are armed. If they are, a new ring must be armed, too."""
        self._wanted = threading.Semaphore(0)
        self._silence = silence
        self._asleep = False
        self._processors = os.sched_getaffinity(0)
        self._stopping = False
        self._thread: threading.Thread | None = None

    def watch(self, rings: ClientRings) -> None:
        """From now on, also empty the ``rings`` of a channel."""
        self._client_rings = rings
        self.start()
        # No other thread waits for this one, so a program without events need not wait for the import either.
        threading.Thread(target=_import_numpy, name="import", daemon=True).start()
        # The drain may sleep, and nothing wakes it for the rings of clients.
        self._asleep = False
        self._wanted.release()

    def lend(self, stream: Stream, base_for: Callable[[Ring], int], number: int | None = None) -> Ring:
        """Lend a ring to a thread.

        ``base_for``: returns the address of the pool's first ring in the thread's address space, computed from the
        address at which the given ring is mapped; 0 if the ring is not mapped. ``number``: the index of ``stream`` in
        `streams`; None to add the stream.
        """
        with self._lending:
            ring = self._pool.take()
        if ring is None:
            with self._lock:
                self._collect()
            with self._lending:
                ring = self._pool.take() or self._spare_ring()
        try:
            base = base_for(ring) if ring.pool is self._pool else 0
        except BaseException:
            with self._lending:
                ring.pool.give_back(ring)
            raise
        fresh = ring.is_fresh
        ring.lend(stream, self.add_stream(stream) if number is None else number, base, self._overflow)
        self._rings[ring] = None
        self.start()
        if fresh and len(self._rings) <= FEW:
            # The ring's memory must be ready for the thread's next events. The memory of a ring that was lent before is
            # already allocated, so it needs no round. Otherwise, many threads in a row would cost one round each.
            self._wanted.release()
        return ring

    def lend_ahead(
        self, stream: Stream, who: Callable[[], Source], base_of: Callable[[int], int | None]
    ) -> Ring | None:
        """Lend a ring to a thread that has not run yet. Returns None if no ring is free and mapped.

        ``stream``: the thread's ids. ``who``: returns the thread's full stream and the stream's number; it is called
        after the thread has emitted. ``base_of``: is like ``base_for`` of `lend`, but is called with the ring's number.
        """
        with self._lending:
            ring = self._pool.take()
            base = base_of(ring.number) if ring is not None else None
            if ring is None or base is None:
                if ring is not None:
                    self._pool.give_back(ring)
                return None
        ring.lend(stream, 0, base, self._overflow)
        ring.who = who
        self._rings[ring] = None
        # ``_armed`` is checked last: the code that sets it then arms all rings that exist.
        if self._armed:
            ring.arm()
        return ring

    def add_stream(self, stream: Stream) -> int:
        """Add a stream, and return its index in ``streams``."""
        with self._lending:
            number = len(self.streams)
            self.streams.append(stream)
        return number

    def start(self) -> None:
        """Start the drain's thread, unless it has already started."""
        if self._thread is None:
            keep_some()
            self._thread = threading.Thread(target=self._run, name="drain", daemon=True)
            self._thread.start()

    def _spare_ring(self) -> Ring:
        """A ring for a thread that starts when the maximum number of threads already have rings. No tracee has this
        ring mapped, so each event of the thread traps."""
        while (ring := self._spare_pools[-1].take() if self._spare_pools else None) is None:
            self._spare_pools.append(RingPool(self._pool.shape, self._pool.most))
        return ring

    def end(self, ring: Ring) -> None:
        """Note that the ring's thread will not write any more. The ring can be lent again after its records were taken
        out."""
        ring.ended = True
        self._ended += 1
        if self._ended == _MANY_ENDED:
            self._wanted.release()

    def make_room(self) -> None:
        """Empty the rings, because a ring of a thread or the tracer's own ring is full. The next rounds start without a
        pause while the rings fill that fast."""
        with self._lock:
            self._collect()
        self._asleep = False
        self._was_full = True
        self._wanted.release()

    def wake(self) -> None:
        """Wake the drain's thread: htrun has written a record, or an armed ring has trapped. The trap has been
        handled."""
        self._wakes += 1
        if self._asleep:
            self._asleep = False
            self._wanted.release()

    def describe(self, facts: Mapping[str, str | int]) -> None:
        """Add ``facts`` to the trace's description of the run."""
        # The lock is needed because the drain's thread may write the same metadata.
        with self._lock:
            self._describe(facts)

    def _open_packet_sink(self) -> None:
        make, self._make_packet_sink = self._make_packet_sink, None
        if make is not None:
            self._packet_sink = make()

    def _describe(self, facts: Mapping[str, str | int]) -> None:
        self._open_packet_sink()
        sink = self._packet_sink
        if sink is not None:
            self._guarded(sink, lambda: sink.describe(facts))

    def fail(self, error: Exception) -> None:
        """Stop the recording because of an error outside the drain."""
        with self._lock:
            if self.failure is None:
                self._collect(final=True)
                self._fail(error)

    def close(self) -> None:
        """Take the remaining records out of the rings and close the sinks. No tracee may write any more."""
        self._stopping = True
        self._wanted.release()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            for ring in list(self._rings):
                ring.ended = True
            self._collect(final=True)
            self._report_losses()
        for sink in list(self._sinks):
            self._guarded(sink, sink.close)
        if self._packet_sink is not None:
            self._guarded(self._packet_sink, self._packet_sink.close)

    def _run(self) -> None:
        try:
            self._drain()
        except Exception as error:
            with self._lock:
                self._fail(error)
        # If this thread dies, no other thread will empty the rings.
        while not self._stopping:
            self._wanted.acquire(timeout=PERIOD)
            with self._lock:
                self._collect()

    def _drain(self) -> None:
        """Loop until the run or the recording ends."""
        # The tracer's thread may be bound to the guest's processor. This thread must not run there.
        os.sched_setaffinity(0, self._processors)
        self._await_calm()
        pause, silence = PERIOD, _Silence(self._silence)
        while not self._stopping and self.failure is None:
            if pause:
                self._wanted.acquire(timeout=pause)
            while self._wanted.acquire(blocking=False):
                pass
            for ring in list(self._rings):
                keep_ahead(ring)
            with self._lock:
                taken = self._collect()
                pause = self._pace.pause(time.monotonic())
            if taken or self._order:
                self._armed = False
                silence.broken()
            elif self._client_rings is not None:
                pause = _QUIET_PERIOD if silence.is_long() else pause
            elif silence.is_time_to_arm():
                self._arm()
            elif silence.is_time_to_sleep():
                self._sleep()
                self._armed = False
                silence.broken()

    def _await_calm(self) -> None:
        """Wait with the first round while traps come in quick succession, unless something else is recorded, too."""
        calm = Calm(time.monotonic())
        while not (self._stopping or self._was_full or self._has_others or self._client_rings):
            for ring in list(self._rings):
                keep_ahead(ring)
            if calm.has_come(self._wakes, time.monotonic()):
                return
            self._wanted.acquire(timeout=PAUSE)

    def _arm(self) -> None:
        self._armed = True
        with self._lock:
            for ring in list(self._rings):
                ring.arm()

    def _sleep(self) -> None:
        self._asleep = True
        if self._tracer_events is not None:
            self._tracer_events.idle = True
        # Because of the lock, either a writer sees that the drain sleeps, or this code sees the writer's record.
        with self._lock:
            pending = any(True for ring in list(self._rings) for _ in ring.unread())
        if pending or (self._tracer_events is not None and self._tracer_events.pending):
            self._asleep = False
        elif not self._stopping:
            self._wanted.acquire()

    def _collect(self, *, final: bool = False) -> int:
        """Do one round over all rings. Returns the number of records that were taken. ``final``: whether no events are
        held back."""
        if self.failure is None:
            try:
                return self._record(final=final)
            except Exception as error:
                self._fail(error)
        return self._discard()

    def _fail(self, error: Exception) -> None:
        """Report why the recording has stopped. The guest goes on, and its records are discarded."""
        self.failure = f"{type(error).__name__}: {error}"
        self.lost += self._in_hand
        self._warnings.failed(error, "recording has ended: what the program emits from here on is lost")

    def _discard(self) -> int:
        """Empty all rings, which would otherwise fill up and block the guest. This method uses no code that could fail
        again."""
        tracer_events, before = self._tracer_events, self.lost
        if tracer_events is not None:
            self.lost += tracer_events.discard()
        if self._client_rings is not None:
            self.lost += self._client_rings.discard()
        for ring in list(self._rings):
            ended = ring.ended
            if ring.overwrites and not ended:
                continue
            for span in ring.unread():
                self.lost += len(span) // self._pool.shape.record_size
                ring.consume(len(span))
            if ring.damaged:
                ring.repair()
            if ended:
                self._free(ring)
        return self.lost - before

    def _record(self, *, final: bool) -> int:
        self._open_packet_sink()
        now = time.monotonic()
        partial = final or now >= self._partial_at
        if partial:
            self._partial_at = now + PERIOD
            # A round that skips partly filled packets must not begin a round of the time order, because older records
            # may be in these packets.
            self._order.begin_round()
        self._in_hand, self._ended = self._thread_order.waiting, 0
        # Read the tracer's own events before the rings of clients, and the other rings after them (`ThreadOrder`).
        complete, ended_rings = self._clock.source.read(), {ring for ring in self._rings_now() if ring.ended}
        taken = self._take_tracer_events() + self._take_kernel_events(everything=final)
        fill = self._take_from_clients(everything=partial, final=final and self._stopping)
        most = 0
        for ring in self._rings_now():
            ended = ring in ended_rings
            if ring.overwrites and not ended:
                continue
            found = self._take(ring, partial=partial or ended)
            most = max(most, found)
            if self._is_shared(ring):
                if ended:
                    self._add_stores(ring, None, ended=True)
                    self._free(ring)
                continue
            taken += found
            if ended:
                self._retire(ring)
        if partial or not self._rings:
            # If there are other rings, their partly filled packets may contain earlier stores of the same threads.
            taken += self._give_in_order(complete, everything=final)
        if self._packet_sink is not None:
            self._guarded(self._packet_sink, self._packet_sink.flush)
        shape = self._pool.shape
        self._pace.took(max(fill, most * shape.record_size / (shape.packets * shape.packet_payload)))
        self.events += taken
        self._in_hand = self._thread_order.waiting
        events = self._order.take(everything=final) if self._sinks else None
        if self._facts_before is not None and (taken or events is not None or final):
            facts = self._facts_before(events, self.streams.so_far())
            if facts:
                self._describe(facts)
        if events is not None:
            self._last_time = int(events["time"][-1])
            for sink in list(self._sinks):
                self._guarded(sink, functools.partial(self._write, sink, events))
        self._report_losses()
        return taken

    def _report_losses(self) -> None:
        """Report new losses to the sinks. The exact position of a loss among the events is unknown."""
        lost = self.lost + sum(ring.lost for ring in self._rings_now())
        if self._client_rings is not None:
            lost += self._client_rings.losses()
        if lost == self._told_lost:
            return
        count, self._told_lost = lost - self._told_lost, lost
        for sink in list(self._sinks):
            if isinstance(sink, LossSink):
                self._guarded(sink, functools.partial(sink.dropped, count, self._last_time))

    def _take_tracer_events(self) -> int:
        """Take the tracer's own events. Returns the number of their records."""
        tracer_events = self._tracer_events
        records = tracer_events.take() if tracer_events is not None else None
        if tracer_events is None or records is None:
            return 0
        self._pace.took(len(records) / tracer_events.capacity)
        return self._give_others(records)

    def _take_kernel_events(self, *, everything: bool) -> int:
        """Take the events that the kernel has recorded. Returns the number of their records."""
        kernel_events = self._kernel_events
        if kernel_events is None:
            return 0
        before = kernel_events.lost
        records = kernel_events.take(everything=everything)
        self._pace.took(kernel_events.fill)
        self.lost += kernel_events.lost - before
        return self._give_others(records) if records is not None else 0

    def _give_others(self, records: TracerRecords) -> int:
        """Write events that are not the program's. Returns the number of events."""
        import numpy as np

        self._in_hand += len(records)
        counts = Counter(dict(zip(*np.unique(records["kind"], return_counts=True), strict=True)))
        texts = int(counts.pop(DEFINITIONS.index(USER_SYSCALL_TEXT), 0))
        self.kinds.update({DEFINITIONS[kind].name: int(count) for kind, count in counts.items()})
        if self._sinks:
            self._order.add(decode_tracer_records(records, self._clock, self._room))
        if self._packet_sink is not None:
            sink, streams = self._packet_sink, self.streams.so_far()
            self._guarded(sink, lambda: sink.write_tracer_records(records, streams))
        return len(records) - texts

    def _write(self, sink: Sink, events: Events) -> None:
        from htrun.events.call_texts import without_texts

        # The tracer may add streams while the sink writes.
        sink.write(events if decodes(sink) else without_texts(events), self.streams.so_far())
        sink.flush()

    def _take(self, ring: Ring, *, partial: bool) -> int:
        """Take the records out of one ring. Returns the number of records. If ``partial`` is False, only full packets
        are taken."""
        import numpy as np

        taken = 0
        for span in ring.unread():
            if not partial and not ring.fills_packet(len(span)):
                break
            dtype = record_dtype(self._pool.shape.num_args, self._identified(ring).big_endian)
            # The records are copied, since the guest may change its ring while sinks read, and the packet is about to
            # be released. They are copied in one block, since numpy would copy field by field.
            records = np.frombuffer(span, np.uint8).copy().view(dtype)
            ring.consume(len(span))
            self._in_hand += len(records)
            taken += len(records)
            if self._is_shared(ring):
                self._add_stores(ring, records)
            else:
                ring.reported = ring.lost
                self._give(ring.stream_number, self._identified(ring), records, ring.lost)
        if ring.damaged:
            assert ring.stream is not None
            self._warnings.warn(
                Kind.RING_DAMAGED,
                ring.stream.tid,
                f"thread {ring.stream.tid} overwrote its own ring: the records in it are lost",
            )
            ring.repair()
        return taken

    def _numbered(self, ring: Ring) -> tuple[int, Stream]:
        stream = self._identified(ring)
        return ring.stream_number, stream

    def _rings_now(self) -> list[Ring]:
        return list(self._rings)

    def _identified(self, ring: Ring) -> Stream:
        """The stream of a ring's thread. This is called only when the ring has events or losses."""
        if ring.who is not None:
            ring.stream_number, ring.stream = ring.who()
            ring.who = None
        assert ring.stream is not None
        return ring.stream

    def _take_from_clients(self, *, everything: bool, final: bool) -> float:
        """Take the records of clients. Returns the filled fraction of the fullest client ring."""
        fill = 0.0
        if self._client_rings is not None:
            for taken in self._client_rings.take(everything=everything, final=final):
                fill = max(fill, taken.fill)
                self._thread_order.add_client(taken)
                self._in_hand = self._thread_order.waiting
                if taken.ended:
                    self.lost += taken.lost
        return fill

    def _is_shared(self, ring: Ring) -> bool:
        """Whether the ring's thread may have a ring of the channel, too."""
        rings = self._client_rings
        return rings is not None and ring.stream is not None and ring.stream.pid in rings.processes

    def _add_stores(self, ring: Ring, records: Records | None, *, ended: bool = False) -> None:
        if records is None and ring.who is not None:
            # The ring was lent before the thread ran, and the thread has never used it.
            return
        source = Source(*self._numbered(ring))
        self._thread_order.add_stores(ring, source, records, ring.lost, ended=ended)

    def _give_in_order(self, complete: int, *, everything: bool) -> int:
        """Write the records of threads that may have two rings. Returns the number of these records."""
        count = 0
        for given in self._thread_order.give(complete, everything=everything):
            (number, stream), records, sink = given.source, given.records, self._packet_sink
            if records is not None:
                count += len(records)
                self._give(number, stream, records, given.discarded)
            elif given.lost_more:
                self._write_packet(number, stream, memoryview(b""), given.discarded)
            if given.ended and sink is not None:
                self._guarded(sink, functools.partial(sink.thread_ended, number))
        return count

    def _give(self, number: int, stream: Stream, records: Records, discarded: int) -> None:
        self.kinds[HYPERTRACE.name] += len(records)
        self._count_sites(records)
        if self._sinks:
            self._order.add(decode(records, number, self._clock, self._room))
        # Write packets of the same size as those of other rings, so that a full disk does not end this trace earlier.
        most = self._pool.shape.packet_payload // self._pool.shape.record_size
        for first in range(0, len(records), most):
            self._write_packet(number, stream, records[first : first + most].view("u1").data, discarded)

    def _count_sites(self, records: Records) -> None:
        import numpy as np

        sites = records["site"]
        # A guest that writes records itself may use any number of sites.
        if (len(sites) == 1 or (sites[0] == sites[-1] and (sites == sites[0]).all())) and sites[0] < _MOST_SITES:
            self.site_events[int(sites[0])] += len(sites)
            return
        known = sites[sites < _MOST_SITES]
        for site, count in zip(*np.unique(known, return_counts=True), strict=True):
            self.site_events[int(site)] += int(count)

    def _write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        sink = self._packet_sink
        if sink is not None:
            self._guarded(sink, functools.partial(sink.write_packet, number, stream, records, discarded))

    def _retire(self, ring: Ring) -> None:
        """Report the losses of a ring and free it. The ring's thread has exited, and its records were taken out."""
        if ring.lost != ring.reported:
            self._write_packet(*self._numbered(ring), memoryview(b""), ring.lost)
        sink, number = self._packet_sink, ring.stream_number
        if sink is not None and ring.who is None:
            self._guarded(sink, lambda: sink.thread_ended(number))
        self._free(ring)

    def _free(self, ring: Ring) -> None:
        self.lost += ring.lost
        del self._rings[ring]
        with self._lending:
            ring.pool.give_back(ring)

    def _guarded(self, sink: Sink | PacketSink, action: Callable[[], None]) -> None:
        """Call ``action`` of a sink.

        If the action fails, report the failure and drop the sink. The guest and the other sinks go on.
        """
        try:
            action()
        except Exception as error:
            self._warnings.warn(Kind.SINK, sink, f"{failure_of(sink, error)}; it receives no further events")
            # Closing the sink releases its files. The failure to write has already been reported.
            with suppress(Exception):
                sink.close()
            if sink in self._sinks:
                self._sinks.remove(sink)
            if sink is self._packet_sink:
                self._packet_sink = None


def _import_numpy() -> None:
    """Import numpy while the program has no event yet, so that its first events need not wait for the import."""
    # A failure is reported when the first event needs numpy.
    with suppress(Exception):
        import_module("numpy")
