"""The layout of a hypertrace channel, version 1 of the ABI.

A channel is one memory object with three regions. Each region is at a multiple of 64 KiB, so that guests with any page
size can protect the region::

    0x00000  header    read-only to the guest; little-endian, whatever the guest
    0x10000  control   no access: every store traps; a store to offset 0 emits the index stored
    0x20000  data      max_clients slots, slot_stride bytes apart

The size is a power of two of at least 1 MiB, so that the channel can be one PCI BAR. Rings may follow
(`htrun.channel.ring_layout`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MAGIC = b"HYPRTRC1"
VERSION = 1

REGION_ALIGNMENT = 64 * 1024
"""The largest page size of any guest, in bytes. Every region starts at a multiple of this size."""

HEADER_SIZE = REGION_ALIGNMENT
CONTROL_OFFSET = REGION_ALIGNMENT
CONTROL_SIZE = REGION_ALIGNMENT
DATA_OFFSET = CONTROL_OFFSET + CONTROL_SIZE

EMIT_OFFSET = 0
"""An offset in the control region. A 4- or 8-byte store at this offset emits the event of the stored index."""
EMIT_HIGH_OFFSET = 4
"""The offset in the control region at which a 32-bit little-endian guest stores the second half of a 64-bit value. This
store is ignored."""
HELLO_OFFSET = 8
"""The offset in the control region at which the guest library stores `HELLO_VALUE` once, to show the guest's byte
order."""
HELLO_VALUE = 0x01020304

MIN_ARGS, MAX_ARGS, DEFAULT_ARGS = 1, 64, 4
MIN_CLIENTS, MAX_CLIENTS, DEFAULT_CLIENTS = 1, 1 << 20, 1024

_SLOT_ALIGNMENT = 64
_MINIMAL_TOTAL = 1 << 20
_HEADER = struct.Struct("<8sIIQQQQQQ")


class Layout(NamedTuple):
    """The shape of one channel.

    ``num_args``: the number of unsigned 64-bit arguments of each event, `MIN_ARGS` to `MAX_ARGS`. ``max_clients``: the
    number of slots, `MIN_CLIENTS` to `MAX_CLIENTS`; valid indexes are ``0 .. max_clients - 1``.
    """

    num_args: int = DEFAULT_ARGS
    max_clients: int = DEFAULT_CLIENTS

    @property
    def slot_stride(self) -> int:
        """The distance from one slot to the next, in bytes: a multiple of 64, so that two slots never share a cache
        line."""
        return _round_up(8 * self.num_args, _SLOT_ALIGNMENT)

    @property
    def total_size(self) -> int:
        """The size of the whole channel in bytes: a power of two of at least 1 MiB."""
        used = DATA_OFFSET + self.max_clients * self.slot_stride
        return max(_MINIMAL_TOTAL, 1 << (used - 1).bit_length())

    def slot_offset(self, index: int) -> int:
        """The offset of the slot of ``index`` in the channel."""
        return DATA_OFFSET + index * self.slot_stride

    def header(self) -> bytes:
        """The header region's first 64 bytes."""
        return _HEADER.pack(
            MAGIC,
            VERSION,
            self.num_args,
            self.max_clients,
            CONTROL_OFFSET,
            CONTROL_SIZE,
            DATA_OFFSET,
            self.slot_stride,
            self.total_size,
        )


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
