"""The rings of a channel in which clients record by themselves: finds those that are taken, empties them, and gives
them back when their threads have exited.

`ClientRings.exited` may be called from any thread of htrun; the other methods are for the drain, under its lock.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel import ring_layout
from htrun.rings.client_ring import Client, ClientRing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from htrun.channel.ring_layout import RingLayout
    from htrun.events.records import Records
    from htrun.events.stream import Stream
    from htrun.rings.client_clock import Conversion

FEW = 1 / 16
"""A fraction of a ring: if it has fewer records, they wait for the next full round."""


class Source(NamedTuple):
    """The thread whose records they are. ``number``: of the stream."""

    number: int
    stream: Stream


class Exit(NamedTuple):
    """The thread ``tid`` has exited. It owned ring ``number`` as ``owner``, unless that is another thread with these
    ids in another PID namespace. ``source``: gives what is known of it."""

    number: int
    owner: int
    tid: int
    source: Callable[[Client], Source]


class Taken(NamedTuple):
    """What one client has recorded since the last round in the ring of number ``ring``. ``lost``: its events that were
    lost since its start; ``ended``: nothing more will come; ``fill``: which part of the ring it was, infinite if the
    client waits: then the next round is to follow at once."""

    ring: int
    source: Source
    records: list[Records]
    lost: int
    ended: bool
    fill: float


class ClientRings:
    """All rings of one channel. ``damaged``: gets the client of each ring whose counts made no sense."""

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
        """``descriptor``: the channel's file. ``source_of``: says whose a ring is when it is found. ``clocks``:
        converters from clients' ticks to htrun's, None for ticks of the same clock; ``unknown_clock``: makes a
        converter for other clocks. Raises OSError if the rings can't be mapped."""
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
        self.processes: set[int] = set()
        """The processes, by htrun's ids, that may have clients: their stores wait for each other (`ThreadOrder`)."""
        self._reach = min(layout.chunk, layout.rings)
        """The rings from this on were never touched."""

    @property
    def in_use(self) -> bool:
        """Whether any ring has, or had, an owner."""
        return bool(self._rings)

    def exited(self, owner: int, tid: int, source: Callable[[Client], Source]) -> None:
        """Thread ``tid``, which calls itself ``owner`` (`ring_layout.owner_word`), writes no more. ``source``: gives
        what is known of it, if nobody has asked yet."""
        for number, word in enumerate(self._owners_now()):
            if word == owner:
                self._exits.append(Exit(number, owner, tid, source))

    def take(self, *, everything: bool, final: bool) -> Iterator[Taken]:
        """What is in the rings. ``everything``: also the records of rings that are far from full. ``final``: all
        clients have ended."""
        exits = {}
        while self._exits:
            one = self._exits.popleft()
            exits[one.number] = one
        for number, owner in enumerate(self._owners_now()):
            if not owner and not self._has_client(number):
                continue
            ring, gone = self._ring(number), exits.get(number)
            if self._begins(ring, owner, gone) and ring.client is not None:
                ended = final or self._has_ended(ring, ring.client, owner, gone)
                taken = self._take(ring, ring.client, gone, everything=everything, ended=ended)
                if taken is not None:
                    yield taken

    def losses(self) -> int:
        """Events that clients which are not ended have lost."""
        return sum(self._rings[number].lost for number in self._sources)

    def discard(self) -> int:
        """Empty all rings, and give back those of threads that have exited; returns how many records were lost."""
        lost = 0
        gone = {self._exits.popleft().number for _ in range(len(self._exits))}
        for number, owner in enumerate(self._owners_now()):
            if owner:
                ring = self._ring(number)
                ended = number in gone or ring.state == ring_layout.ENDED
                lost += ring.discard()
                if ended and ring.free():
                    self._sources.pop(number, None)
        return lost

    def _owners_now(self) -> list[int]:
        """The owners of all rings that were ever used."""
        self._reach_further()
        return self._owners[: self._reach].tolist()

    def _reach_further(self) -> None:
        """Check more rings if one beyond the checked ones has been touched, which shows because it then takes
        memory."""
        layout = self._layout
        while self._reach < layout.rings:
            try:
                at = os.lseek(self._descriptor, layout.offset + self._reach * layout.stride, os.SEEK_DATA)
            except OSError:
                # None was.
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
        """Whether it is known who the owner of a ring is, now or already."""
        if ring.client is not None:
            return True
        if not ring.damaged and ring.state in (ring_layout.IN_USE, ring_layout.ENDED):
            ring.begin()
            return True
        if not ring.damaged and gone is not None and gone.owner == owner:
            # It died before it had written its ids.
            ring.free()
        return False

    def _has_ended(self, ring: ClientRing, client: Client, owner: int, gone: Exit | None) -> bool:
        if owner != client.owner:
            # The program has written where it should not.
            return True
        source = self._sources.get(ring.number)
        # A thread that could not be found is known by its own ids.
        same = gone is not None and (source is None or source.stream.tid in (gone.tid, client.tid))
        return gone is not None and gone.owner == owner and same

    def _source(self, ring: ClientRing, client: Client, gone: Exit | None) -> Source:
        """The thread whose records are in a ring; determined at the first of them."""
        source = self._sources.get(ring.number)
        if source is None:
            # Read before the exits: an exec, which gives the ids to another thread, is listed there first.
            source = self._source_of(client)
            gone = next((one for one in list(self._exits) if one[:2] == (ring.number, client.owner)), gone)
            if gone is not None and gone.owner == client.owner:
                source = gone.source(client)
            self._sources[ring.number] = source
        return source

    def _take(
        self, ring: ClientRing, client: Client, gone: Exit | None, *, everything: bool, ended: bool
    ) -> Taken | None:
        was_damaged = ring.damaged
        # Read before the records, since the client may have written some before it exited.
        ended = ended or ring.state == ring_layout.ENDED
        waits, records = ring.waits(), self._layout.records
        if not (everything or ended or waits or ring.unread() >= FEW * records):
            return None
        taken = [self._timed(batch, client) for batch in ring.take(ended=ended)]
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

    def _timed(self, records: Records, client: Client) -> Records:
        """The same with time stamps of htrun's clock."""
        if client.clock not in self._clocks:
            self._clocks[client.clock] = self._unknown_clock(client)
        clock = self._clocks[client.clock]
        if clock is not None:
            records["timestamp"] = clock.ticks(records["timestamp"])
        return records
