"""Finds the threads that own the channel's rings (`htrun.rings.client_rings`).

A ring contains the ids that its owner sees. In a PID namespace, these differ from the ids that htrun sees.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel.ring_layout import owner_word
from htrun.events.stream import Source, Stream
from htrun.events.warnings import Kind
from htrun.runner.clocks import clocks_of_clients
from htrun.runner.stream_names import machine_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from htrun.channel.file import Channel
    from htrun.events.warnings import Warnings
    from htrun.intercept.guest import Thread
    from htrun.rings.client_clock import Conversion
    from htrun.rings.client_ring import Client
    from htrun.rings.client_rings import ClientRings
    from htrun.runner.afterwards import Afterwards
    from htrun.runner.recording import Recording


class _Ids(NamedTuple):
    pid: int
    tid: int


class ClientThreads:
    """Starts to drain the channel's rings when a process maps one for the first time. Except `_source_of`, all methods
    must be called by the tracer's main thread."""

    def __init__(
        self,
        channel: Channel,
        threads: Mapping[int, Thread],
        recording: Recording,
        warnings: Warnings,
        afterwards: Afterwards,
    ) -> None:
        self._afterwards = afterwards
        self._channel = channel
        self._threads = threads
        self._recording = recording
        self._warnings = warnings
        self._rings: ClientRings | None = None
        self._in_namespaces = False
        """Whether there may be clients whose ids in their own PID namespace differ from those that htrun sees."""

    def mapped(self, thread: Thread) -> None:
        """Note that a thread maps rings of the channel: for its process, or for the machine that its process runs. The
        thread is stopped."""
        if self._rings is not None:
            self._add(self._rings, thread, None)
            return
        # The thread need not wait until its ring is watched, but the clocks must be read before it reads them, and its
        # own ids cannot be read when it is gone. If events are already recorded, some may be stores of this thread,
        # which the drain must not take without those in the ring (`ThreadOrder`). A machine must be asked for the time
        # before its first event.
        clocks, own = clocks_of_clients(self._recording.clock.source), _own_ids(thread)

        def begin() -> None:
            self._rings = watch_rings(self._channel, self._recording, self._warnings, self._source_of, clocks)
            self._add(self._rings, thread, own)

        if self._recording.has_begun or thread.space.machine:
            begin()
        else:
            self._afterwards.add(begin)

    def _add(self, rings: ClientRings, thread: Thread, own: _Ids | None) -> None:
        """Add the process of a thread that has mapped rings. ``own``: the ids that the thread sees; None if they have
        not been read yet."""
        if thread.space.machine:
            # The rings are for threads inside the machine. These are not threads of the process.
            if rings.exchange is None:
                # Imported here, since only runs with a machine need it.
                from htrun.runner.machine_exchange import machine_exchange

                rings.exchange = machine_exchange(self._channel, self._recording.clock, self._warnings)
            return
        if thread.process.pid not in rings.processes:
            rings.processes.add(thread.process.pid)
            own = own if own is not None else _own_ids(thread)
            self._in_namespaces = self._in_namespaces or own != (thread.process.pid, thread.tid)

    @property
    def machine_clock(self) -> dict[str, int | float] | None:
        """The summary's entry about the clock of machines; None if no machine has used its clock."""
        if self._rings is None or self._rings.exchange is None:
            return None
        from htrun.runner.machine_exchange import clock_of_machines

        return clock_of_machines(self._rings, self._recording.clock)

    def forked(self, creator: Thread, child: Thread) -> None:
        """Note that ``creator`` has a new child process, whose first thread is ``child``."""
        rings = self._rings
        if rings is not None and creator.process.pid in rings.processes:
            rings.processes.add(child.process.pid)

    def ended(self, thread: Thread) -> None:
        """Mark the rings of a thread that will no longer write to them, since the thread exits or has called
        execve(2)."""
        rings, process = self._rings, thread.process
        if rings is None:
            return
        if thread.space.machine and all(each.exiting for each in thread.space.threads):
            rings.machine_exited()
        if process.pid not in rings.processes:
            return
        ids = _own_ids(thread) if self._in_namespaces else _Ids(process.pid, thread.tid)
        try:
            rings.exited(owner_word(*ids), thread.tid, lambda client: self._recording.source_of(thread, client))
        except Exception as error:
            # This code runs in the tracer. An error of the recording must not end the program.
            self._recording.fail(error)

    def _source_of(self, client: Client) -> Source:
        """The source for the ring of ``client``. Called by the drain."""
        thread = self._threads.get(client.tid)
        if thread is not None and thread.process.pid == client.pid:
            return self._recording.source_of(thread, client)
        rings = self._rings
        if self._in_namespaces and rings is not None:
            for other in list(self._threads.values()):
                if other.process.pid in rings.processes and _own_ids(other) == (client.pid, client.tid):
                    return self._recording.source_of(other, client)
        # The thread has exited, or it never existed: a program can write any id to its ring.
        stream = Stream(client.tid, client.pid, 0, client.name, client.big_endian, time.time_ns())
        return Source(self._recording.drain.add_stream(stream), stream)


def watch_rings(
    channel: Channel,
    recording: Recording,
    warnings: Warnings,
    source_of: Callable[[Client], Source],
    clocks: Mapping[int, Conversion | None] | None = None,
) -> ClientRings:
    """Have the drain empty the rings of ``channel`` from now on. The channel must have rings. ``source_of``: returns
    the source for a client that runs on this host. ``clocks``: what `clocks_of_clients` has returned before there were
    any clients; None if there are still none."""
    from htrun.rings.client_clock import Arrival
    from htrun.rings.client_rings import ClientRings

    source = recording.clock.source
    clocks = clocks if clocks is not None else clocks_of_clients(source)
    assert channel.rings is not None

    def source_of_any(client: Client) -> Source:
        if not client.in_machine:
            return source_of(client)
        stream = machine_stream(client)
        return Source(recording.drain.add_stream(stream), stream)

    def unknown_clock(client: Client) -> Conversion:
        warnings.warn(
            Kind.CLOCK,
            client.clock,
            f"thread {client.tid} records times of a clock that htrun cannot relate to its own clock (number "
            f"{client.clock}): its events have the times at which htrun read them",
        )
        return Arrival(source.read)

    def damaged(client: Client) -> None:
        warnings.warn(
            Kind.RING_DAMAGED,
            client.tid,
            f"the ring of thread {client.tid} was overwritten: the records in it are lost",
        )

    rings = ClientRings(
        channel.descriptor, channel.rings, source_of_any, clocks, unknown_clock=unknown_clock, damaged=damaged
    )
    recording.drain.watch(rings)
    return rings


def _own_ids(thread: Thread) -> _Ids:
    """The ids that a thread sees; if the thread is gone, the ids that htrun sees."""
    fields: dict[str, str] = {}
    try:
        with open(f"/proc/{thread.tid}/status", encoding="ascii", errors="replace") as status:
            fields = dict(line.split(":", 1) for line in status)
    except OSError:
        pass
    if "NStgid" not in fields:
        return _Ids(thread.process.pid, thread.tid)
    return _Ids(int(fields["NStgid"].split()[-1]), int(fields["NSpid"].split()[-1]))
