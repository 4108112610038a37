"""The layout of the rings that a channel offers. Clients write their records to these rings themselves.

A *ring* belongs to one thread at a time. The thread takes the ring with one atomic operation, and writes its records
there. Clients that do not know about rings map `Layout.total_size` bytes of the channel, so they never map a ring.
Fields of the header, from `FIELDS_OFFSET` on, describe the rings. These fields are little-endian, and zero if there are
no rings.

A ring is a control block of one page, then ``records`` records: u64 time stamp, u32 *lap word*, u32 index, arguments.
Record number n of a ring, counted from the channel's beginning, is at position ``n % records``. The lap word is written
last; the record is complete when it has the value of `lap_word`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from htrun.channel.layout import REGION_ALIGNMENT, Layout

FIELDS_OFFSET = 0x40
"""The offset in the header of the fields that describe the rings."""
_FIELDS = struct.Struct("<IIQQIIIIQI4x")

EXCHANGE_OFFSET = 0x74
"""The offset in the header of the number (u32) that clients in machines answer (`htrun.rings.exchange`). The number 0
needs no answer."""
FIRST_EXCHANGE = 1
"""The first number that needs an answer."""

COUNTER_OFFSET = 0x78
"""The offset in the header of a reading of the host's counter: ticks (u64), CLOCK_MONOTONIC_RAW in ns (u64), and the
approximate rate in Hz (u64); all zero if there is none. A client that is not on x86
uses its own counter only if it is the same as the host's counter. Under an emulator, it may be a different counter."""
_COUNTER = struct.Struct("<QQQ")

NATIVE_CLIENTS, EVERY_CLIENT = 1, 2
"""The clients that may use the rings: only native clients, or also emulated clients. The host's processors run native
clients themselves."""

UNTRACED = 1
"""A flag of the rings: no tracer sees to which thread a ring belongs. So a client writes its PID namespace and the time
at which it claimed the ring to the ring."""

BLOCK, DROP, OVERWRITE = 0, 1, 2
"""The behaviour of a client when its ring is full: it waits, loses the event, or overwrites the oldest event."""

CONTROL_SIZE = 4096
"""The size in bytes of the control block before the records of a ring."""
RECORD_HEADER = 16
"""The size in bytes of the part of a record before its arguments."""

# Offsets in the control block, whose words are little-endian. The client writes the words at these offsets:
OWNER = 0x00
"""u64: the process id and the thread id of the client, as the client sees them (`owner_word`); 0 if the ring is
free."""
COOKIE = 0x08
"""u64: a random number that identifies the program image."""
STATE = 0x10
"""u32: one of `FREE` to `ENDED`."""
FLAGS = 0x14
"""u32: bit 0 is set if the client is big-endian. Bit 1 is set if the client runs in a machine. Bits 8 to 15 are the
number of the client's clock (`CLOCK_TSC`)."""
NAME, NAME_SIZE = 0x18, 16
"""The thread's name, padded with zeros."""
NAMESPACE = 0x28
"""u64: the inode of the client's PID namespace; 0 if it is unknown, or if the client has a tracer."""
CLAIM_TIME = 0x30
"""u64: the time at which the client took the ring (CLOCK_MONOTONIC_RAW in ns); 0 if it is unknown, or if the client has
a tracer."""
RESERVED = 0x40
"""u64: the number of records that were reserved since the channel was created. The last of these records may be
unfinished."""
DROPPED = 0x48
"""u64: the number of events that were lost because the ring was full."""
BELL = 0x50
"""u32: nonzero while the client waits for room. The reader sets it to 0."""
ANSWERED = 0x58
"""u32: the number that a client in a machine has answered last; 0 while the client writes `ANSWER`."""
ANSWER = 0x60
"""u64: the reading of the client's clock that answers `ANSWERED`."""
# The reader writes the word at this offset:
RELEASED = 0x80
"""u64: a client may write record n when n < released + records."""

FREE, CLAIMED, IN_USE, ENDED = range(4)
"""The states of a ring. FREE: the ring has no owner. CLAIMED: the owner is filling in the first fields. IN_USE: the
owner uses the ring. ENDED: the owner has exited."""

BIG_ENDIAN = 1
IN_MACHINE = 2
"""The bit of `FLAGS` that says that the client's ids and clock are those of a machine, not of htrun's host."""
KERNEL = 0xFFFFFFFF
"""The process id in the rings of a machine's kernel. The kernel has a ring for each processor; the thread id is the
processor's number plus 1."""
CLOCK_SHIFT, CLOCK_MASK = 8, 0xFF
CLOCK_TSC, CLOCK_RAW_NS, CLOCK_CNTVCT, CLOCK_RDTIME, CLOCK_MFTB, CLOCK_STCKF = range(6)
"""The numbers of the clocks of time stamps: the host's time stamp counter (x86), CLOCK_MONOTONIC_RAW in nanoseconds,
and the host's counter on AArch64, RISC-V, Power and s390x, named after the instruction or register that reads it."""

WRITTEN = 0x80000000
"""A bit that is set in every lap word, so that no lap word is zero."""
LAPS = 0x7FFFFFFF
"""The greatest number of a lap. Laps are numbered from 1 to this number, then from 1 again."""

_MOST_RINGS = 1024
_FEWEST_RECORDS = 256
_MOST_MAPPED = 16 << 20
"""The maximum number of bytes that a client maps together for rings, unless a single ring is larger. This is limited
because a client may lock all its memory (mlockall(2))."""
_MOST_IN_A_CHUNK = 64
_MOST_IN_A_DEVICE = 256 << 20


class RingLayout(NamedTuple):
    """The rings of one channel.

    ``mode``: `NATIVE_CLIENTS` or `EVERY_CLIENT`. ``machine``: e_machine of the host. ``offset``: the position of the
    first ring in the channel's file, in bytes. ``stride``: the distance from one ring to the next, in bytes. ``rings``:
    the number of rings. ``records``: the number of records in a ring. ``chunk``: the number of rings that a client must
    map together. ``overflow``: `BLOCK`, `DROP` or `OVERWRITE`. ``record_size``: the size of a record in bytes.
    """

    mode: int
    machine: int
    offset: int
    stride: int
    rings: int
    records: int
    chunk: int
    overflow: int
    record_size: int
    flags: int = 0
    """`UNTRACED` or 0."""

    @classmethod
    def of(
        cls, layout: Layout, mode: int, machine: int, ring_size: int, overflow: int, *, untraced: bool = False
    ) -> RingLayout:
        """The rings of a channel with ``layout``.

        ``machine``: e_machine of the host. ``ring_size``: the size of a ring in bytes. It is rounded to a multiple of
        64 KiB, and increased if a few nested signal handlers could fill the ring.
        """
        record_size = RECORD_HEADER + 8 * layout.num_args
        stride = max(ring_size, CONTROL_SIZE + _FEWEST_RECORDS * record_size + REGION_ALIGNMENT - 1)
        stride -= stride % REGION_ALIGNMENT
        return cls(
            mode=mode,
            machine=machine,
            offset=layout.total_size,
            stride=stride,
            rings=_MOST_RINGS,
            records=(stride - CONTROL_SIZE) // record_size,
            chunk=max(1, min(_MOST_IN_A_CHUNK, _MOST_MAPPED // stride)),
            overflow=overflow,
            record_size=record_size,
            flags=UNTRACED if untraced else 0,
        )

    @property
    def device_size(self) -> int:
        """The size in bytes of the memory of a PCI device that has rings: a power of two, no more than the file's size.
        The size is limited because 32-bit machines need the memory below 4 GiB. A client uses only the rings that lie
        in the memory of the device."""
        most = max(_MOST_IN_A_DEVICE, 2 * self.offset)
        return 1 << min(self.file_size, most).bit_length() - 1

    @property
    def size(self) -> int:
        """The size of all rings in bytes."""
        return self.rings * self.stride

    @property
    def file_size(self) -> int:
        """The size of the channel's file in bytes. Only pages that were written take memory."""
        return self.offset + self.size

    def fields(self) -> bytes:
        """The fields of the header that describe the rings, for offset `FIELDS_OFFSET`."""
        return _FIELDS.pack(
            self.mode,
            self.machine,
            self.offset,
            self.stride,
            self.rings,
            self.records,
            self.chunk,
            self.overflow,
            self.file_size,
            self.flags,
        )


def counter_fields(ticks: int, nanoseconds: int, rate: int) -> bytes:
    """The fields of the header for offset `COUNTER_OFFSET`."""
    return _COUNTER.pack(ticks, nanoseconds, rate)


def lap_word(number: int, records: int) -> int:
    """The lap word of the complete record ``number`` in a ring of ``records`` records."""
    return WRITTEN | (number // records % LAPS + 1)


def owner_word(pid: int, tid: int) -> int:
    """The owner of a ring as one number: the process id and the thread id."""
    return pid << 32 | tid
