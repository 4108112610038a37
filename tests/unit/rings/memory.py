"""A ring's memory from the point of view of its writer, a trampoline: the steps of `htrun.hosts.x86_64.trampoline`, in
Python."""

from __future__ import annotations

import mmap
import struct

from htrun.events.stream import Stream
from htrun.rings import layout
from htrun.rings.layout import RingShape
from htrun.rings.ring import Overflow, Ring, RingPool

SHAPE = RingShape(num_args=2, packets=4, packet_stride=4096)
RECORDS_A_PACKET = SHAPE.packet_payload // SHAPE.record_size
BASE = 0x7000_0000_0000
"""The address at which the writer has supposedly mapped the pool."""

_RECORD = struct.Struct("<QIIQQ")


def stream(tid: int) -> Stream:
    """A thread of that id."""
    return Stream(tid, tid)


def lent(pool: RingPool, overflow: Overflow = Overflow.BLOCK, tid: int = 1) -> Ring:
    """A ring lent to a thread."""
    ring = pool.take()
    assert ring is not None
    ring.lend(stream(tid), 0, BASE, overflow)
    return ring


def record(number: int, timestamp: int | None = None) -> bytes:
    """A record with ``number``, which is also its time by default."""
    return _RECORD.pack(number if timestamp is None else timestamp, 7, number % 1000, number, ~number & (1 << 64) - 1)


def numbers(data: bytes | memoryview) -> list[int]:
    """The numbers of the `record`s in ``data``. Raises AssertionError if a record has changed."""
    found = []
    for _, site, index, number, complement in _RECORD.iter_unpack(bytes(data)):
        assert (site, index, complement) == (7, number % 1000, ~number & (1 << 64) - 1)
        found.append(number)
    return found


_WORD = (1 << 64) - 1
"""The largest number that fits into a record."""


class Writer:
    """One thread's trampolines. ``memory``: a second mapping of the pool."""

    def __init__(self, ring: Ring) -> None:
        self._memory = mmap.mmap(ring.pool.file, ring.pool.size)
        self._offset = ring.offset

    def get(self, word: int) -> int:
        """A word of the control block."""
        return int(struct.unpack_from("<Q", self._memory, self._offset + word)[0])

    def put(self, word: int, value: int) -> None:
        """Write a word of the control block."""
        struct.pack_into("<Q", self._memory, self._offset + word, value)

    def put_bytes(self, offset: int, data: bytes) -> None:
        """Write to any position in the ring, including its control block."""
        self._memory[self._offset + offset : self._offset + offset + len(data)] = data

    def write(self, data: bytes) -> bool:
        """Emit a record. Returns False if it traps (or is lost) because the ring is full or armed, or if the ring is
        corrupted: like a trampoline, which would then fault, it writes only to its own ring."""
        if self.get(layout.POSITION) >= self.get(layout.PACKET_END) and not self._next_packet():
            return False
        position = self.get(layout.POSITION)
        at = position - BASE
        if not self._offset + layout.PAGE <= at <= self._offset + SHAPE.size - len(data):
            return False
        self._memory[at : at + len(data)] = data
        self.put(layout.POSITION, position + len(data))
        return True

    def _next_packet(self) -> bool:
        if self.get(layout.PACKET_END) == 0:
            return False
        number = self.get(layout.PACKET_NUMBER) + 1
        if number >= self.get(layout.RELEASED):
            if self.get(layout.ON_FULL) == layout.ON_FULL_DROP:
                self.put(layout.DROPPED, self.get(layout.DROPPED) + 1)
            return False
        place = (number & self.get(layout.PACKET_MASK)) * self.get(layout.PACKET_STRIDE)
        start = self.get(layout.PACKETS) + place + layout.PACKET_HEADER
        self.put(layout.POSITION, start & _WORD)
        self.put(layout.PACKET_END, start + self.get(layout.PACKET_PAYLOAD) & _WORD)
        self.put(layout.PACKET_NUMBER, number & _WORD)
        return True
