"""The layout of the memory that trampolines write and htrun reads: records, packets, rings and the thread table.

This is the contract between the machine code of the trampolines (`Host.build`) and the Python that drains it.

*Record*: u64 ``timestamp`` (time stamp counter), u32 ``site`` (which instruction emitted it), u32 ``index``, then
``num_args`` u64 arguments. The first three are in the host's byte order, the arguments in the guest's byte order. There
is no commit word: a trampoline publishes a record by advancing the ring's position past the record (x86 keeps stores in
order). A signal handler never runs in the middle of a trampoline, because htrun sees every signal before the thread
does and moves the thread out of the trampoline first.

*Packet*: `PACKET_HEADER` bytes that belong to the reader, then records. A packet is written to the trace unchanged.

*Ring*: a control block of one page, then ``packets`` packets of ``packet_stride`` bytes each. All packets of a ring
belong to one guest thread.

*Thread table*: one for each address space. The table maps a thread pointer to the address of a control block. Only
htrun writes the table. All addresses in a control block or a table are addresses in the tracee.
"""

from __future__ import annotations

from typing import NamedTuple

PAGE = 4096

RECORD_HEADER = 16
"""The size in bytes of a record without its arguments."""
RECORD_SITE = 8
RECORD_INDEX = 12
"""Offsets of the u32 ``site`` and the u32 ``index`` in a record."""

PACKET_HEADER = 256
"""The number of bytes at the start of each packet that the reader fills in: a CTF packet header and context."""

# Control block, first cache line: written by the guest thread (and by htrun while that thread is stopped).
POSITION = 0x00
"""u64: address of the next record."""
PACKET_END = 0x08
"""u64: the lowest address at which no further record fits into the current packet. A trampoline whose position is not
below this address takes the slow path. The value 0 (armed) makes the next event trap."""
PACKET_NUMBER = 0x10
"""u64: the number of packets that were finished before the current packet. The current packet is at index ``number &
mask`` in the ring."""
DROPPED = 0x18
"""u64: the number of events that were lost because the ring was full and the overflow policy does not block."""
TRAP_TIME = 0x50
"""u64: the time stamp of an event that traps because the ring was full or armed. The trampoline stores it before the
trap. htrun sets it to 0 after reading it."""
# Constants of the ring, written by htrun before the thread sees it.
PACKETS = 0x20
"""u64: the address of the first packet."""
PACKET_MASK = 0x28
"""u64: the number of packets, a power of two, minus one."""
PACKET_STRIDE = 0x30
"""u64: the distance from one packet to the next, in bytes."""
PACKET_PAYLOAD = 0x38
"""u64: the room for records in a packet, in bytes: a multiple of the record's size."""
# Second cache line: written by the reader.
RELEASED = 0x40
"""u64: the number of packets that the reader has released to the writer; packet N may be started while ``N <
released``. The distance from the reader to this number is always one packet less than a whole ring, so that a full ring
differs from an empty ring."""
ON_FULL = 0x48
"""u64: the action of a trampoline when the next packet is not released: `ON_FULL_TRAP` or `ON_FULL_DROP`."""

ON_FULL_TRAP = 0
"""Execute the original store: it traps, htrun drains the ring, and the thread tries again. Nothing is lost."""
ON_FULL_DROP = 1
"""Increment `DROPPED` and continue after the site."""

TABLE_ENTRIES = 1 << 15
"""The number of entries in the thread table.

If both entries of a thread are taken, each event of the thread traps. The table is so large that this hardly happens
with a few thousand threads. Only pages that contain a thread take memory.
"""
TABLE_ENTRY = 16
"""The size of an entry in bytes: a u64 key (the thread pointer; 0 if the entry is free), and the u64 address of the
control block of the thread's ring."""
TABLE_SIZE = TABLE_ENTRIES * TABLE_ENTRY
TABLE_MULTIPLIER = 0x9E3779B1
"""2**32 divided by the golden ratio. Thread pointers differ in few bits, and this factor spreads them over the
table."""
TABLE_SHIFT = 32 - (TABLE_SIZE - 1).bit_length()
"""The number of bits by which the product is shifted right. Its upper bits are the offset of the entry in the table."""


def table_offsets(thread_pointer: int) -> tuple[int, int]:
    """The two byte offsets in the thread table at which a thread's entry may be: the hashed offset, then its neighbour.

    Machine code computes the first offset in 32 bits: it multiplies by `TABLE_MULTIPLIER`, shifts right by
    `TABLE_SHIFT`, and masks with ``TABLE_SIZE - TABLE_ENTRY``. The neighbour's offset is the first offset exclusive-or
    `TABLE_ENTRY`.
    """
    first = ((thread_pointer & 0xFFFFFFFF) * TABLE_MULTIPLIER & 0xFFFFFFFF) >> TABLE_SHIFT & (TABLE_SIZE - TABLE_ENTRY)
    return first, first ^ TABLE_ENTRY


def record_size(num_args: int) -> int:
    """The size in bytes of a record with ``num_args`` arguments."""
    return RECORD_HEADER + 8 * num_args


class RingShape(NamedTuple):
    """The shape of the rings of a run; all rings have the same shape.

    ``num_args``: the number of arguments, 1 to 64. ``packets``: the number of packets, a power of two.
    ``packet_stride``: the distance from one packet to the next, in bytes.
    """

    num_args: int
    packets: int
    packet_stride: int

    @property
    def record_size(self) -> int:
        """The size of one record in bytes."""
        return record_size(self.num_args)

    @property
    def packet_payload(self) -> int:
        """The size in bytes of the records in a full packet: a multiple of `record_size`. It is less than the available
        room, so that the end of a packet's records is not the start of the next packet."""
        return (self.packet_stride - PACKET_HEADER - 1) // self.record_size * self.record_size

    @property
    def size(self) -> int:
        """The size of one ring in bytes, including its control block."""
        return PAGE + self.packets * self.packet_stride
