"""Events that the tracer itself sees: system calls, and the start and exit of threads. The tracer's main thread passes
these events to the drain.

The events are in a ring buffer that one thread fills and another thread empties. Machine code (`fastpath.call_wait`)
also fills this buffer, so the layout is fixed: `RECORD`, and `_Control`.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import TYPE_CHECKING, Any

from htrun.events.definitions import DEFINITIONS, SYSCALL_ARGS, Definition

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    TracerRecords = NDArray[np.void]
    """A batch of raw records, of `tracer_dtype`."""

RECORD = struct.Struct(f"<QIIQQ{SYSCALL_ARGS}Q")
"""A record: the ticks, the number of the stream, the kind (an index of `DEFINITIONS`), the interface and the number of
the call, and the arguments."""
_CAPACITY = 1 << 15
"""The number of records in the ring. At the fastest rate of system calls that a tracer can see, they last about 20
ms."""


def tracer_dtype() -> np.dtype[Any]:
    """The numpy type of a `RECORD`."""
    import numpy as np

    fields = [("timestamp", "<u8"), ("stream", "<u4"), ("kind", "<u4"), ("arch", "<u8"), ("num", "<u8")]
    return np.dtype([*fields, ("args", "<u8", (SYSCALL_ARGS,))])


class _Control(ctypes.Structure):
    """The state that the writer and the reader share. ``head``: the number of records that were ever written. ``tail``:
    the number of records that the reader has taken.
    """

    _fields_ = [
        ("records", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
        ("head", ctypes.c_uint64),
        ("tail", ctypes.c_uint64),
        ("idle", ctypes.c_uint32),
    ]


class TracerEvents:
    """The ring. ``append`` is for the tracer's main thread only, ``take`` for the holder of the drain's lock.

    ``address``: the address of the `_Control`.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        """``capacity``: the number of records for which the ring has room, a power of two."""
        self._memory = mmap.mmap(-1, capacity * RECORD.size)
        self._capacity = capacity
        self._control = _Control(
            records=ctypes.addressof(ctypes.c_char.from_buffer(self._memory)), mask=capacity - 1, head=0, tail=0
        )
        self.address = ctypes.addressof(self._control)

    @property
    def capacity(self) -> int:
        """The number of records for which the ring has room when it is empty."""
        return self._capacity

    def has_room(self, count: int) -> bool:
        """Whether there is room for ``count`` more records."""
        return bool(self._control.head - self._control.tail + count <= self._capacity)

    @property
    def idle(self) -> bool:
        """Whether the reader sleeps and must be woken by the writer of the next record."""
        return bool(self._control.idle)

    @idle.setter
    def idle(self, idle: bool) -> None:
        self._control.idle = idle

    @property
    def pending(self) -> bool:
        """Whether there are records to take."""
        return bool(self._control.head != self._control.tail)

    def append(
        self,
        ticks: int,
        stream: int,
        records: Sequence[tuple[Definition, Sequence[int]]],
        *,
        arch: int = 0,
        number: int = 0,
    ) -> None:
        """Write ``records``. The reader also takes them together. There must be enough room.

        Each record consists of its kind and its first arguments; the other arguments are zero.
        """
        head = self._control.head
        for place, (definition, arguments) in enumerate(records, head):
            padding = (0,) * (SYSCALL_ARGS - len(arguments))
            at = (place & self._capacity - 1) * RECORD.size
            kind = DEFINITIONS.index(definition)
            RECORD.pack_into(self._memory, at, ticks, stream, kind, arch, number, *arguments, *padding)
        self._control.head = head + len(records)

    def discard(self) -> int:
        """Discard all remaining records. Returns the number of discarded records."""
        head, tail = self._control.head, self._control.tail
        self._control.tail = head
        return int(head - tail)

    def take(self) -> TracerRecords | None:
        """Take all remaining records. Returns a copy of the records in order of time; None if there are none."""
        import numpy as np

        head, tail = self._control.head, self._control.tail
        if head == tail:
            return None
        ring = np.frombuffer(self._memory, tracer_dtype())
        first, last = tail & self._capacity - 1, head & self._capacity - 1
        records = ring[first:last].copy() if first < last else np.concatenate([ring[first:], ring[:last]])
        self._control.tail = head
        return records
