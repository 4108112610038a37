"""Finds the rings of a channel that are in use, empties them, and frees them when their threads have exited. Clients
write records to these rings themselves.

`ClientRings.exited` is for the tracer's main thread. Some methods may be called from any thread of htrun; their
docstrings say so. All other methods are for the drain, which must hold its lock.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel import ring_layout
from htrun.rings.client_ring import Client, ClientRing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from htrun.channel.ring_layout import RingLayout
    from htrun.events.records import Records
    from htrun.events.stream import Source
    from htrun.rings.client_clock import Conversion
    from htrun.rings.exchange import Exchange

FEW = 1 / 16
"""A fraction of a ring. If the records fill less than this fraction, they wait for the next full round."""
_FEW_RECORDS = 256
"""The maximum number of records that are taken immediately when their thread exits. This takes a few microseconds, and
leaves the next thread a free ring that its process has already mapped."""
_MOST_READY = 256
"""The maximum number of exited threads whose records may wait for the next round after they were copied out of the
rings."""


MACHINE_CLOCK = -1
"""The number that is used for all clocks of machines, since these are not clocks of the host."""


class Exit(NamedTuple):
    """The thread ``tid`` has exited.

    The thread owned ring ``number`` with the owner word ``owner``, unless the ring belongs to a thread with the same
    ids in another PID namespace. ``source``: returns the thread's description. ``cookie``: identifies the image of the
    program whose ring it was; None if the ring cannot have a new owner with the same ids yet.
    """

    number: int
    owner: int
    tid: int
    source: Callable[[Client], Source]
    cookie: int | None = None


class Taken(NamedTuple):
    """The records that one client has written to ring number ``ring`` since the last round.

    ``lost``: the number of events that the client has lost since its start. ``ended``: whether no more records will
    come. ``fill``: the fraction of the ring that was full; infinite if the client is waiting, so that the next round
    follows immediately.
    """

    ring: int
    source: Source
    records: list[Records]
    lost: int
    ended: bool
    fill: float


class Claim(NamedTuple):
    """A ring's description of its owner. ``cookie``: identifies the owner's program image. ``namespace``: the inode of
    the owner's PID namespace; 0 if it is unknown. ``time``: the time in ns at which the owner took the ring; 0 if it is
    unknown. ``complete``: whether the owner has written all these values. ``in_machine``: whether the owner's ids are
    those of a machine."""

    cookie: int
    namespace: int
    time: int
    complete: bool
    in_machine: bool = False


class ClientRings:
    """All rings of one channel. ``damaged``: is called with the client of each ring whose counts are impossible."""

    def __init__(
        self,
        descriptor: int,
        layout: RingLayout,
        source_of: Callable[[Client], Source],
        clocks: Mapping[int, Conversion | None],
        *,
        unknown_clock: Callable[[Client], Conversion],
        damaged: Callable[[Client], None],
    ) -> None:
        """``descriptor``: the channel's file.

        ``source_of``: returns the thread of a ring's client. ``clocks``: the conversion of each known clock, from the
        client's ticks to htrun's; None for htrun's own clock. ``unknown_clock``: makes a conversion for a clock that is
        not among ``clocks``. Raises OSError if the rings can't be mapped.
        """
        self._descriptor = descriptor
        self._layout = layout
        self._mapped = mmap.mmap(descriptor, layout.size, offset=layout.offset)
        self._memory = memoryview(self._mapped)
        self._owners = self._memory.cast("Q")[ring_layout.OWNER // 8 :: layout.stride // 8]
        self._source_of = source_of
        self._damaged = damaged
        self._unknown_clock = unknown_clock
        self._clocks = dict(clocks)
        self._rings: dict[int, ClientRing] = {}
        self._sources: dict[int, Source] = {}
        self._exits: deque[Exit] = deque()
        self._ready: deque[Taken] = deque()
        """The records of threads that have exited since the last round, already taken out of their rings."""
        self._taking = threading.Lock()
        """The lock that a thread holds while it reads rings."""
        self._began = False
        """Whether a round was completed and the records are still wanted. The first round imports numpy."""
        self.processes: set[int] = set()
        """The ids, in htrun's namespace, of processes that may have clients. The stores of these processes go through
        `ThreadOrder`."""
        self.exchange: Exchange | None = None
        """The exchange that relates the clocks of machines to htrun's clock; None while there is no machine."""
        self._machine_gone = False
        self._reach = min(layout.chunk, layout.rings)
        """The number of rings that are checked, from ring 0 on. No client has used the other rings yet."""

    @property
    def in_use(self) -> bool:
        """Whether any ring has, or had, an owner."""
        return bool(self._rings)

    def exited(self, owner: int, tid: int, source: Callable[[Client], Source]) -> None:
        """Note that thread ``tid``, with the owner word ``owner`` (`ring_layout.owner_word`), will not write any more.

        ``source``: returns the thread's description. It is called only if the description was not determined before.
        """
        owners = self._owners_now()
        if owner not in owners:
            return
        for number, word in enumerate(owners):
            if word != owner or self._is_machines(number):
                continue
            gone, done = Exit(number, owner, tid, source), False
            try:
                done = self._take_at_once(gone)
            finally:
                if not done:
                    self._exits.append(gone)

    def machine_exited(self) -> None:
        """Note that the clients in machines will not write any more. May be called from any thread of htrun."""
        self._machine_gone = True

    def ring_exited(self, number: int, owner: int, cookie: int, tid: int, source: Callable[[Client], Source]) -> None:
        """Like `exited`, for ring ``number`` only. ``cookie``: see `Exit`. May be called from any thread of htrun."""
        if not self._is_machines(number):
            self._exits.append(Exit(number, owner, tid, source, cookie))

    def _is_machines(self, number: int) -> bool:
        """Whether the owner of ring ``number`` runs in a machine, so that its ids are not those of a thread of this
        host."""
        start = number * self._layout.stride + ring_layout.FLAGS
        flags = int.from_bytes(self._memory[start : start + 4], "little")
        return bool(flags & ring_layout.IN_MACHINE)

    def owners(self) -> list[int]:
        """The owner words of all rings that were ever used; 0 for a free ring. May be called from any thread of
        htrun."""
        return self._owners_now()

    def claim(self, number: int) -> Claim:
        """The description of the owner of ring ``number``, as the owner has written it. May be called from any thread
        of htrun."""
        start = number * self._layout.stride
        words = self._memory[start : start + ring_layout.RESERVED].cast("Q")
        state, flags = words[ring_layout.STATE // 8] & 0xFFFFFFFF, words[ring_layout.STATE // 8] >> 32
        return Claim(
            words[ring_layout.COOKIE // 8],
            words[ring_layout.NAMESPACE // 8],
            words[ring_layout.CLAIM_TIME // 8],
            state in (ring_layout.IN_USE, ring_layout.ENDED),
            bool(flags & ring_layout.IN_MACHINE),
        )

    def take(self, *, everything: bool, final: bool) -> Iterator[Taken]:
        """Take the records out of the rings.

        ``everything``: whether to empty also the rings that are far from full. ``final``: whether all clients have
        ended.
        """
        with self._taking:
            machine_gone, self._machine_gone = self._machine_gone, False
            exits = self._exits_now()
            self._exchange_times()
            while self._ready:
                yield self._ready.popleft()
            for number, owner in enumerate(self._owners_now()):
                if not owner and not self._has_client(number):
                    continue
                ring, gone = self._ring(number), exits.get(number)
                if not self._begins(ring, owner, gone) or ring.client is None:
                    continue
                ended = final or (machine_gone and ring.client.in_machine)
                ended = ended or self._has_ended(ring, ring.client, owner, gone)
                taken = self._take(ring, ring.client, gone, everything=everything, ended=ended)
                if taken is not None:
                    yield taken
            self._began = True

    def losses(self) -> int:
        """The number of events that the clients of the rings have lost. Clients that have ended are not counted."""
        with self._taking:
            return sum(self._rings[number].lost for number in self._sources)

    def discard(self) -> int:
        """Discard all records, and free the rings of threads that have exited. Returns the number of discarded
        records."""
        lost = 0
        with self._taking:
            self._began = False
            gone = self._exits_now()
            while self._ready:
                lost += sum(map(len, self._ready.popleft().records))
            for number, owner in enumerate(self._owners_now()):
                if owner:
                    ring = self._ring(number)
                    ended = number in gone or ring.state == ring_layout.ENDED
                    lost += ring.discard()
                    if ended and ring.free():
                        self._sources.pop(number, None)
        return lost

    def _exits_now(self) -> dict[int, Exit]:
        """Take the exits so far, by ring number. An exec keeps the ids, so if such a ring was freed meanwhile, the new
        owner may have the same ids as the owner that is gone."""
        exits = {}
        while self._exits:
            one = self._exits.popleft()
            if one.cookie is None or one.cookie == self.claim(one.number).cookie:
                exits[one.number] = one
        return exits

    def _take_at_once(self, gone: Exit) -> bool:
        """Take the records of a thread that exits, and free its ring. If this cannot be done immediately, the next
        round does it. Returns whether it was done."""
        if (
            not self._began
            or self._exits
            or len(self._ready) >= _MOST_READY
            or not self._taking.acquire(blocking=False)
        ):
            return False
        try:
            ring = self._ring(gone.number)
            if ring.unread() > _FEW_RECORDS:
                return False
            if self._begins(ring, gone.owner, gone) and ring.client is not None:
                ended = self._has_ended(ring, ring.client, gone.owner, gone)
                taken = self._take(ring, ring.client, gone, everything=True, ended=ended)
                if taken is not None:
                    self._ready.append(taken)
            return True
        finally:
            self._taking.release()

    def _owners_now(self) -> list[int]:
        """The current owners of all rings that were ever used."""
        self._reach_further()
        return self._owners[: self._reach].tolist()

    def _reach_further(self) -> None:
        """Check more rings from now on if a client has used one of them. lseek(2) finds such a ring, since its memory
        is allocated."""
        layout = self._layout
        while self._reach < layout.rings:
            try:
                at = os.lseek(self._descriptor, layout.offset + self._reach * layout.stride, os.SEEK_DATA)
            except OSError:
                # No client has used further rings.
                return
            touched = (at - layout.offset) // layout.stride + 1
            self._reach = min(-(-touched // layout.chunk) * layout.chunk, layout.rings)

    def _ring(self, number: int) -> ClientRing:
        ring = self._rings.get(number)
        if ring is None:
            start = number * self._layout.stride
            ring = ClientRing(number, self._memory[start : start + self._layout.stride], self._layout)
            self._rings[number] = ring
        return ring

    def _has_client(self, number: int) -> bool:
        ring = self._rings.get(number)
        return ring is not None and ring.client is not None

    def _begins(self, ring: ClientRing, owner: int, gone: Exit | None) -> bool:
        """Whether a ring has an owner whose records can be taken. Takes note of a new owner."""
        if ring.client is not None:
            return True
        if not ring.damaged and ring.state in (ring_layout.IN_USE, ring_layout.ENDED):
            client = ring.begin()
            if client.in_machine and self.exchange is not None:
                self.exchange.begin(ring.number, client.clock)
                self._hear(self.exchange, ring, client)
            return True
        if not ring.damaged and gone is not None and gone.owner == owner:
            # The thread died before it had written its ids.
            ring.free()
        return False

    def _has_ended(self, ring: ClientRing, client: Client, owner: int, gone: Exit | None) -> bool:
        if owner != client.owner:
            # The program has overwritten the owner's ids.
            return True
        source = self._sources.get(ring.number)
        # If the thread could not be found, its stream has the ids that the thread sees in its own PID namespace.
        same = gone is not None and (source is None or source.stream.tid in (gone.tid, client.tid))
        return gone is not None and gone.owner == owner and same

    def _source(self, ring: ClientRing, client: Client, gone: Exit | None) -> Source:
        """The thread whose records are in a ring. It is determined when the ring has its first record."""
        source = self._sources.get(ring.number)
        if source is None:
            if gone is None or gone.owner != client.owner:
                # Find the thread before the exits are read. When an exec gives the ids to another thread, the exit is
                # added before the other thread gets the ids.
                source = self._source_of(client)
                gone = next((one for one in list(self._exits) if one[:2] == (ring.number, client.owner)), None)
            if gone is not None:
                source = gone.source(client)
            assert source is not None
            self._sources[ring.number] = source
        return source

    def _take(
        self, ring: ClientRing, client: Client, gone: Exit | None, *, everything: bool, ended: bool
    ) -> Taken | None:
        was_damaged = ring.damaged
        # Read the exits before the records, since a client may write records just before it exits.
        ended = ended or ring.state == ring_layout.ENDED
        waits, records = ring.waits(), self._layout.records
        if not (everything or ended or waits or ring.unread() >= FEW * records):
            return None
        taken = [self._timed(batch, client, ring.number) for batch in ring.take(ended=ended)]
        count, lost = sum(map(len, taken)), ring.lost
        found = None
        if count or lost or ring.number in self._sources:
            source = self._source(ring, client, gone)
            if count or ended or waits:
                found = Taken(ring.number, source, taken, lost, ended, inf if waits else count / records)
        if ended:
            ring.free()
            self._sources.pop(ring.number, None)
        if ring.damaged and not was_damaged:
            self._damaged(client)
        return found

    def _exchange_times(self) -> None:
        """Read the answers of clients in machines, and ask the next question."""
        if self.exchange is None:
            return
        for ring in self._rings.values():
            if ring.client is not None and ring.client.in_machine:
                self._hear(self.exchange, ring, ring.client)
        self.exchange.ask()

    @staticmethod
    def _hear(exchange: Exchange, ring: ClientRing, client: Client) -> None:
        answer = ring.answer
        if answer is not None:
            exchange.heard(ring.number, client.clock, answer)

    def _timed(self, records: Records, client: Client, ring: int) -> Records:
        """The records of ring number ``ring`` with their time stamps converted to htrun's clock."""
        if client.in_machine and self.exchange is not None:
            if len(records):
                records["timestamp"] = self.exchange.ticks(ring, records["timestamp"])
            return records
        number = MACHINE_CLOCK if client.in_machine else client.clock
        if number not in self._clocks:
            self._clocks[number] = self._unknown_clock(client)
        clock = self._clocks[number]
        if clock is not None:
            records["timestamp"] = clock.ticks(records["timestamp"])
        return records
