"""A channel's rings from the point of view of their clients: the guest library, in Python."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

from htrun.channel import ring_layout
from htrun.channel.layout import Layout
from htrun.channel.ring_layout import CONTROL_SIZE, NATIVE_CLIENTS, RingLayout, lap_word, owner_word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from htrun.events.records import Records

NUM_ARGS = 2
LAYOUT = Layout(NUM_ARGS, 8)
_MASK = (1 << 64) - 1


def small_rings(records: int = 16, rings: int = 8, chunk: int = 4, overflow: int = ring_layout.BLOCK) -> RingLayout:
    """Rings of a few records, so that they wrap around often."""
    usual = RingLayout.of(LAYOUT, NATIVE_CLIENTS, 62, 1 << 16, overflow)
    return usual._replace(records=records, rings=rings, chunk=chunk)


def channel_file(layout: RingLayout) -> int:
    """The file of a channel."""
    descriptor = os.memfd_create("channel", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, layout.file_size)
    return descriptor


def numbers_of(batches: Iterable[Records]) -> list[int]:
    """The numbers that were passed to `Writer.emit`. Raises AssertionError for a record that has changed."""
    found = []
    for records in batches:
        for record in records:
            number = int(record["args"][0])
            assert int(record["args"][1]) == ~number & _MASK
            assert int(record["index"]) == number % 1000
            assert int(record["timestamp"]) == number + 10
            assert int(record["site"]) == 0
            found.append(number)
    return found


class Writer:
    """One thread of a client, which immediately claims a ring. ``number``: the number of the ring."""

    def __init__(
        self,
        descriptor: int,
        layout: RingLayout,
        tid: int = 7,
        *,
        big_endian: bool = False,
        clock: int = 0,
        pid: int = 5,
        cookie: int = 0,
    ) -> None:
        self._layout = layout
        self._memory = mmap.mmap(descriptor, layout.size, offset=layout.offset)
        self._order = ">" if big_endian else "<"
        self.number = next(number for number in range(layout.rings) if not self.get(ring_layout.OWNER, number))
        self.put(ring_layout.OWNER, owner_word(pid, tid))
        self.put_half(ring_layout.STATE, ring_layout.CLAIMED)
        self.put(ring_layout.COOKIE, cookie)
        self.put_half(ring_layout.FLAGS, int(big_endian) | clock << ring_layout.CLOCK_SHIFT)
        self.put_bytes(ring_layout.NAME, b"writer".ljust(ring_layout.NAME_SIZE, b"\0"))
        self.put_half(ring_layout.STATE, ring_layout.IN_USE)

    def get(self, word: int, number: int | None = None) -> int:
        """A word of the control block."""
        start = (self.number if number is None else number) * self._layout.stride
        return int(struct.unpack_from("<Q", self._memory, start + word)[0])

    def put(self, word: int, value: int) -> None:
        """Write a word of the control block."""
        self.put_bytes(word, struct.pack("<Q", value))

    def put_half(self, word: int, value: int) -> None:
        """Write half a word of the control block."""
        self.put_bytes(word, struct.pack("<I", value))

    def put_bytes(self, offset: int, data: bytes) -> None:
        """Write to any position in the ring."""
        start = self.number * self._layout.stride + offset
        self._memory[start : start + len(data)] = data

    def neighbours(self) -> bytes:
        """The memory after the ring."""
        return self._memory[(self.number + 1) * self._layout.stride :]

    def has_room(self) -> bool:
        """Whether the next event has room."""
        return self.has_room_for(self.get(ring_layout.RESERVED))

    def has_room_for(self, record: int) -> bool:
        """Whether the event with this record has room."""
        return record < self.get(ring_layout.RELEASED) + self._layout.records

    def reserve(self) -> int:
        """Begin an event; returns the record's number."""
        record = self.get(ring_layout.RESERVED)
        self.put(ring_layout.RESERVED, record + 1 & _MASK)
        return record

    def commit(self, record: int, number: int) -> None:
        """Finish the event with this record. Its arguments contain ``number``."""
        at = CONTROL_SIZE + record % self._layout.records * self._layout.record_size
        self.put_bytes(at, struct.pack(f"{self._order}Q", number + 10))
        self.put_bytes(at + 16, struct.pack(f"{self._order}QQ", number, ~number & _MASK))
        self.put_bytes(at + 8, struct.pack(f"{self._order}II", lap_word(record, self._layout.records), number % 1000))

    def emit(self, number: int) -> None:
        """Emit an event. Raises AssertionError if it would have to wait."""
        assert self.has_room()
        self.commit(self.reserve(), number)

    def exit(self) -> None:
        """Do what the library does when a thread exits."""
        self.put_half(ring_layout.STATE, ring_layout.ENDED)
