"""Records the events of a run: holds the clock, the rings of threads, the drain, and the events of the tracer itself.

The pool of rings and the drain are created when they are first needed, at the first event at the latest. A run without
events has neither, unless it was prepared for traps (`htrun.runner.preparation`).
"""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from htrun import hosts
from htrun.events.stream import Source, Stream
from htrun.events.warnings import Kind
from htrun.runner.options import Timestamp
from htrun.runner.own_names import OwnNames
from htrun.runner.stream_names import StreamNames, client_stream, last_name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from htrun.events.clock import Clock
    from htrun.events.clock_readings import ClockReading
    from htrun.events.tracer_events import TracerEvents
    from htrun.events.warnings import Warnings
    from htrun.intercept.guest import Thread
    from htrun.rings.client_ring import Client
    from htrun.rings.drain import Drain
    from htrun.rings.ring import Ring, RingPool
    from htrun.runner.options import RunOptions
    from htrun.runner.outputs import Outputs
    from htrun.sched.recorder import SchedRecorder

_PACKETS = 16
"""The number of packets in a ring."""
_MOST_RINGS = 4096


class Totals(NamedTuple):
    """The totals of a recording. ``kinds``: the number of events by name. ``lost``: the number of events that were not
    recorded. ``failure``: the error that stopped the recording before the program exited; None if there was no
    error."""

    events: int = 0
    kinds: Mapping[str, int] = MappingProxyType({})
    lost: int = 0
    failure: str | None = None


class Recording:
    """Lends rings to threads, and has their records written to the outputs.

    Methods must be called by the tracer's main thread, unless their docstrings allow other threads.
    """

    def __init__(self, options: RunOptions, outputs: Outputs, warnings: Warnings, clock: Clock | None = None) -> None:
        """``clock``: None if the program has no events yet."""
        self._options = options
        self._outputs = outputs
        self._warnings = warnings
        self._names = StreamNames(warnings)
        self._pool: RingPool | None = None
        self._drain: Drain | None = None
        self._tracer_events: TracerEvents | None = None
        self._sched: SchedRecorder | None = None
        self.own_names = OwnNames(options, outputs, warnings)
        self._naming = threading.Lock()
        """Protects `Thread.source`, which the thread of the drain uses, too."""
        self.clock = clock if clock is not None else _choose_clock(options, warnings)
        self._begin = _read_clocks(self.clock) if outputs.trace is not None else None
        """The clocks before the first event, for the native trace."""

    @property
    def pool(self) -> RingPool:
        """The pool of rings, created at the first use."""
        if self._pool is None:
            from htrun.rings.layout import RingShape
            from htrun.rings.ring import RingPool

            options = self._options
            packet_stride = max(4096, options.ring_size // _PACKETS // 4096 * 4096)
            self._pool = RingPool(RingShape(options.layout.num_args, _PACKETS, packet_stride), _MOST_RINGS)
        return self._pool

    @property
    def drain(self) -> Drain:
        """The drain, which takes the records out of the rings; created at the first use."""
        if self._drain is None:
            from htrun.rings.drain import SILENCE, Drain

            self._drain = Drain(
                self.pool,
                self.clock,
                self._warnings,
                sinks=self._outputs.sinks,
                packet_sink=lambda: self._outputs.packet_sink(self.clock, self._begin, self._warnings),
                overflow=self._options.overflow,
                tracer_events=self._tracer_events,
                kernel_events=self._sched,
                facts_before=self.own_names.learn if self.own_names.wanted else None,
                silence=None if self._options.timestamp is Timestamp.ORDERED or self._sched is not None else SILENCE,
            )
        return self._drain

    @property
    def has_begun(self) -> bool:
        """Whether there is a drain, which may have taken records."""
        return self._drain is not None

    @property
    def totals(self) -> Totals:
        """The totals so far."""
        drain = self._drain
        return Totals() if drain is None else Totals(drain.events, drain.kinds, drain.lost, drain.failure)

    @property
    def site_events(self) -> Mapping[int, int]:
        """The number of events so far, by the number of the site that has emitted them."""
        return self._drain.site_events if self._drain is not None else {}

    def record_tracer_events(self) -> TracerEvents:
        """Also record the tracer's own events. Must be called before anything is recorded. Returns the object to which
        the tracer writes these events."""
        from htrun.events.tracer_events import TracerEvents

        assert self._drain is None
        self._tracer_events = TracerEvents()
        return self._tracer_events

    def record_sched(self) -> SchedRecorder:
        """Also record what the kernel does with threads. Must be called before anything is recorded. Returns the
        recorder, whose methods must be called for each thread."""
        from htrun.sched.event import reason
        from htrun.sched.recorder import SchedRecorder

        def failed(error: OSError) -> None:
            self._warnings.warn(Kind.SCHED, error.errno, f"--sched does not record all threads: {reason(error)}")

        assert self._drain is None
        self._sched = SchedRecorder(self.clock.source, lambda: self.drain.make_room(), failed)
        return self._sched

    def start(self) -> None:
        """Start the drain now, and not at the first event of the program."""
        self.drain.start()

    def add_stream(self, thread: Thread) -> int:
        """Add a stream for the events of ``thread`` that the tracer records itself. Returns the number of the
        stream."""
        return self.drain.add_stream(self._names.stream_of(thread))

    def source_of(self, thread: Thread, client: Client | None = None) -> Source:
        """The source for the events that ``thread`` emits: its stream, and the stream's number. ``client``: the owner
        of a ring of the channel, as described in this ring; None if the thread emits events by stores. May be called
        from any thread of htrun."""
        with self._naming:
            source = thread.source
            if source is None or (client is not None and client.big_endian != source.stream.big_endian):
                stream = self._names.stream_of(thread) if client is None else client_stream(thread, client)
                source = Source(self.drain.add_stream(stream), stream)
                thread.source = thread.source or source
            return source

    def ring_of(self, thread: Thread, base_for: Callable[[Ring], int]) -> Ring:
        """The thread's ring, which is lent to it at its first event. ``base_for``: see `Drain.lend`."""
        if thread.ring is None:
            source = self.source_of(thread)
            thread.ring = self.drain.lend(source.stream, base_for, source.number)
            if thread.space.arena is not None:
                thread.space.arena.family.learn(emitted=True)
        return thread.ring

    def lend_ahead(self, thread: Thread) -> Ring | None:
        """Lend a ring to a thread before its first instruction, so that its first event need not trap. Returns None if
        no mapped ring is free. The thread's address space must have an arena."""
        assert thread.space.arena is not None
        stream, rings = Stream(thread.tid, thread.process.pid), thread.space.arena.rings
        thread.ring = self.drain.lend_ahead(stream, lambda: self.source_of(thread), rings.base_of)
        return thread.ring

    def thread_ended(self, thread: Thread) -> None:
        """Return the ring of a thread that will write no more records. The ring can be lent again when it is empty."""
        ring = thread.ring
        if ring is None:
            return
        if ring.who is not None:
            # The drain has not taken an event of this thread yet. It may need the thread's name when the thread is
            # gone.
            thread.comm = "" if ring.is_unused else last_name_of(thread)
            if thread.space.arena is not None:
                thread.space.arena.family.learn(emitted=not ring.is_unused)
        self.drain.end(ring)

    def make_room(self) -> None:
        """Empty the rings, because one of them is full. Also take the tracer's own events."""
        self.drain.make_room()

    def wake(self) -> None:
        """Wake the drain, because a record was written."""
        self.drain.wake()

    def fail(self, error: Exception) -> None:
        """Stop recording because of ``error``."""
        self.drain.fail(error)

    def describe(self, facts: Mapping[str, str | int]) -> None:
        """Add ``facts`` about the run to the trace. This creates the drain, so that a run without events gets a trace,
        too."""
        drain = self.drain
        if facts:
            drain.describe(facts)

    def close(self) -> None:
        """Write all remaining records, and close the outputs. No tracee may write records after this."""
        if self._drain is not None:
            self._drain.close()
        else:
            self._outputs.close(self._warnings)
        if self._sched is not None:
            self._sched.close()


def _read_clocks(clock: Clock) -> ClockReading:
    from htrun.events.clock_readings import read_clocks

    return read_clocks(clock.source)


def _choose_clock(options: RunOptions, warnings: Warnings) -> Clock:
    clock = hosts.current().best_clock()
    if clock.source.name != hosts.current().counter and options.patch:
        warnings.warn(Kind.CLOCK, "tsc", f"{clock.doubt}: sites are not patched, and each event traps")
    return clock
