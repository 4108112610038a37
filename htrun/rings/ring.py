"""Rings as htrun sees them: a pool of shared memory is divided into rings, which are lent to guest threads.

The pool is one sealed memory file, whose pages are allocated when they are used. Each ring is mapped when it is first
needed. `htrun.rings.layout` describes the layout, and who writes which field.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import heapq
import mmap
import os
import struct
import weakref
from collections.abc import Callable, Iterator
from enum import Enum

from htrun.errors import HtrunError
from htrun.events.stream import Stream
from htrun.rings import layout
from htrun.rings.layout import RingShape

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_MAP_FAILED = ctypes.c_void_p(-1).value
_RECORD_HEADER = struct.Struct("=QII")
_WORD = 8


class Overflow(Enum):
    """The treatment of events when a ring is full: the thread waits, new events are lost, or the oldest events are
    lost."""

    BLOCK = "block"
    DROP = "drop"
    OVERWRITE = "overwrite"


_ENDLESS = 1 << 62
"""A count of released packets that is so large that a writer never waits."""


_LONGEST_TRAP = 1 << 40
"""The maximum number of ticks between an event and its trap. This is some minutes, because the thread may be stopped
for a long time in between."""

_MOST_EVENTS = 1 << 48
"""A number of events that no thread can reach. A greater count was not written by a trampoline."""
_MOST_REPAIRS = 8
"""The maximum number of times that a ring is repaired for one event."""
_WORD_MASK = (1 << 64) - 1


class Ring:
    """One thread's ring. Positions are addresses in the tracee, in which the pool is mapped at ``base``."""

    __slots__ = (
        "_control",
        "_lost",
        "_lost_before_repair",
        "_memory",
        "_reached",
        "_read_bytes",
        "_read_packet",
        "_record_size",
        "_vain_repairs",
        "base",
        "damaged",
        "ended",
        "host_address",
        "number",
        "offset",
        "overflow",
        "overwritten",
        "pool",
        "ready",
        "reported",
        "shape",
        "stream",
        "stream_number",
        "who",
    )

    def __init__(self, pool: RingPool, number: int) -> None:
        """Ring ``number`` of ``pool``. Raises OSError if there is no memory to map it."""
        shape = pool.shape
        self.pool = pool
        self.number = number
        self.offset = number * shape.size
        self._memory = _mapped(pool.file, self.offset, shape.size)
        self.host_address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        """The address of the control block in htrun's memory."""
        self._control = self._memory[: layout.PAGE].cast("Q")
        self._record_size = shape.record_size
        self.shape = shape
        self.base = 0
        self.stream: Stream | None = None
        self.stream_number = 0
        self.who: Callable[[], tuple[int, Stream]] | None = None
        """A function that returns the thread's number and stream, if ``stream`` is provisional because the ring was
        lent before the thread's first event; otherwise None."""
        self._read_packet = 0
        self._read_bytes = 0
        self.damaged = False
        self.ended = False
        self.overflow = Overflow.BLOCK
        self.overwritten = 0
        self.reported = 0
        self.ready = 0
        """The number of bytes from the ring's start for which prefaulting has succeeded; the ring's size if it has
        failed."""
        self._reached: tuple[int, int] | None = None
        """The process whose page tables contain the ``ready`` bytes, and the `base` there."""
        self._lost = 0
        self._lost_before_repair = 0
        self._vain_repairs = 0

    def lend(self, stream: Stream, stream_number: int, base: int, overflow: Overflow) -> None:
        """Prepare the ring for a thread. ``base``: the address of the pool in the thread's address space; 0 if it is
        not mapped."""
        self.base = base
        self.stream = stream
        self.stream_number = stream_number
        self.who = None
        self._read_packet = 0
        self._read_bytes = 0
        self.damaged = False
        self.ended = False
        self.overflow = overflow
        self.overwritten = 0
        self.reported = 0
        if self._reached != (stream.pid, base):
            self._reached, self.ready = (stream.pid, base), 0
        self._lost = 0
        self._lost_before_repair = 0
        self._vain_repairs = 0
        self._prepare()

    @property
    def is_fresh(self) -> bool:
        """Whether the ring was never lent, so that its memory is not allocated yet."""
        return self._reached is None

    @property
    def is_unused(self) -> bool:
        """Whether the thread has written nothing to the ring, according to the control block in the guest's memory."""
        start = self.base + self._packet_offset(0) + layout.PACKET_HEADER
        return not self._read_packet and not self._read_bytes and self._control[0] == start

    def _prepare(self) -> None:
        shape, control = self.shape, self._control
        packets = self.base + self.offset + layout.PAGE
        control[layout.PACKETS // _WORD] = packets
        control[layout.PACKET_MASK // _WORD] = shape.packets - 1
        control[layout.PACKET_STRIDE // _WORD] = shape.packet_stride
        control[layout.PACKET_PAYLOAD // _WORD] = shape.packet_payload
        control[layout.RELEASED // _WORD] = _ENDLESS if self.overwrites else shape.packets - 1
        drops = self.overflow is Overflow.DROP
        control[layout.ON_FULL // _WORD] = layout.ON_FULL_DROP if drops else layout.ON_FULL_TRAP
        control[layout.DROPPED // _WORD] = 0
        control[layout.TRAP_TIME // _WORD] = 0
        control[layout.PACKET_NUMBER // _WORD] = 0
        control[layout.POSITION // _WORD] = packets + layout.PACKET_HEADER
        control[layout.PACKET_END // _WORD] = packets + layout.PACKET_HEADER + shape.packet_payload

    def repair(self) -> None:
        """Reset the ring, because the guest has overwritten the control block and the content of the ring is
        meaningless."""
        self._lost_before_repair = self.lost - self.overwritten
        self.damaged = False
        self._read_packet = 0
        self._read_bytes = 0
        self._prepare()

    @property
    def address(self) -> int:
        """The address of the control block in the tracee."""
        return self.base + self.offset

    @property
    def extent(self) -> int:
        """The number of bytes of the ring, counted from its start, that the thread has used so far. After the first
        lap, this is the ring's size."""
        if self._read_packet >= self.shape.packets:
            return self.shape.size
        return min(max(self._control[layout.POSITION // _WORD] - self.address, 0), self.shape.size)

    @property
    def overwrites(self) -> bool:
        """Whether the thread overwrites its oldest packet when the ring is full. htrun reads such a ring only once,
        after the thread has exited."""
        return self.overflow is Overflow.OVERWRITE

    @property
    def lost(self) -> int:
        """The number of events that were lost so far because the ring was full. It comes from the guest's memory, but
        never decreases."""
        drops = self.overflow is Overflow.DROP
        dropped = self._control[layout.DROPPED // _WORD] if drops else 0
        self._lost = max(self._lost, min(self._lost_before_repair + dropped + self.overwritten, _MOST_EVENTS))
        return self._lost

    @property
    def armed(self) -> bool:
        """Whether the next event will trap."""
        return self._control[layout.PACKET_END // _WORD] == 0

    def arm(self) -> None:
        """Make the next event trap, so that the ring need not be polled until then."""
        self._control[layout.PACKET_END // _WORD] = 0

    def disarm(self) -> None:
        """Undo `arm`. The thread must be stopped."""
        packet = self._packet_of(self._control[layout.POSITION // _WORD])
        self._control[layout.PACKET_END // _WORD] = self._end_of(packet)

    def settle(self) -> None:
        """Complete the step to the next packet, if the thread has begun this step, which sets the position first and
        the packet number last. The thread is stopped and about to leave its trampoline. This method also clears the
        time of a pending trap."""
        control = self._control
        control[layout.TRAP_TIME // _WORD] = 0
        number = control[layout.PACKET_NUMBER // _WORD] + 1
        if self._packet_of(control[layout.POSITION // _WORD]) == number & (self.shape.packets - 1):
            control[layout.PACKET_NUMBER // _WORD] = number & _WORD_MASK
            self.disarm()

    def take_trap_time(self, now: int) -> int:
        """The ticks of the event for which the thread has trapped: the value that the trampoline has stored, or ``now``
        if it has stored none. The guest may have written the stored value, so it is accepted only within
        `_LONGEST_TRAP`."""
        time = self._control[layout.TRAP_TIME // _WORD]
        self._control[layout.TRAP_TIME // _WORD] = 0
        return time if 0 <= now - time < _LONGEST_TRAP else now

    def append(self, timestamp: int, site: int, index: int, arguments: bytes | memoryview) -> bool:
        """Write a record for the thread, which must be stopped. Returns False if the ring must be drained first,
        because it is full or the guest has overwritten its control block. Nothing is ever written outside the ring's
        packets."""
        control = self._control
        if control[0] >= control[1] and not self._next_packet():
            return self.damaged and self._gives_up()
        position = control[0]
        if not self._has_room(position):
            self.damaged = True
            return self._gives_up()
        at = position - self.address
        memory = self._memory
        _RECORD_HEADER.pack_into(memory, at, timestamp, site, index)
        memory[at + layout.RECORD_HEADER : at + self._record_size] = arguments
        control[0] = position + self._record_size
        self._vain_repairs = 0
        return True

    def room(self) -> tuple[int, int, int, int] | None:
        """The place for the stopped thread's next record: the address of the control block in htrun, the block's
        `layout.POSITION` and `layout.PACKET_END`, and the difference between a position and its address in htrun. None
        if the ring is full, armed or damaged."""
        position, end = self._control[0], self._control[1]
        if not (position < end and self._has_room(position)):
            return None
        if end != self._end_of(self._packet_of(position)):
            return None
        return self.host_address, position, end, self.host_address - self.address

    def _end_of(self, packet: int) -> int:
        """The value of `PACKET_END` for a position in ``packet``."""
        return self.base + self._packet_offset(packet) + layout.PACKET_HEADER + self.shape.packet_payload

    def _gives_up(self) -> bool:
        """Whether to count the event as lost, because the ring was repaired too often for it: other threads of the
        guest keep overwriting the ring."""
        self._vain_repairs += 1
        if self._vain_repairs < _MOST_REPAIRS:
            return False
        self._vain_repairs = 0
        self._lost_before_repair += 1
        return True

    def _has_room(self, position: int) -> bool:
        """Whether a record at ``position`` lies in a packet."""
        place, within = divmod(position - self.base - self.offset - layout.PAGE, self.shape.packet_stride)
        used = within - layout.PACKET_HEADER
        return 0 <= place < self.shape.packets and 0 <= used <= self.shape.packet_payload - self._record_size

    def _next_packet(self) -> bool:
        control = self._control
        if control[1] == 0:
            self.disarm()
            if control[0] < control[1]:
                return True
        number = control[layout.PACKET_NUMBER // _WORD]
        if not self._is_current(number, control[0]):
            self.damaged = True
            return False
        # Use the reader's own count, not `RELEASED` in the shared memory, which the guest can change.
        if not self.overwrites and number + 1 >= self._read_packet + self.shape.packets - 1:
            return False
        start = self.base + self._packet_offset(number + 1) + layout.PACKET_HEADER
        control[0] = start
        control[1] = start + self.shape.packet_payload
        control[layout.PACKET_NUMBER // _WORD] = number + 1
        return True

    def _is_current(self, number: int, position: int) -> bool:
        """Whether a thread at ``position`` can be in packet ``number``."""
        # The reader may be one packet ahead, since it takes the end of a packet as the start of the next packet.
        ahead = number + 1 - self._read_packet
        if not 0 <= ahead <= (_MOST_EVENTS if self.overwrites else self.shape.packets):
            return False
        return self._packet_of(position) == number & (self.shape.packets - 1)

    def _packet_offset(self, number: int) -> int:
        return self.offset + layout.PAGE + (number & (self.shape.packets - 1)) * self.shape.packet_stride

    def _packet_of(self, position: int) -> int:
        return (position - self.base - self.offset - layout.PAGE) // self.shape.packet_stride

    # The reader's side. Values that the guest may have written are trusted only within its own ring.

    def unread(self) -> Iterator[memoryview]:
        """The records that `consume` has not processed, oldest first: one chunk of whole records for each packet."""
        if self.damaged:
            return
        shape = self.shape
        position = self._control[layout.POSITION // _WORD]
        place, used = self._locate(position)
        if used is None:
            self.damaged = True
            return
        if self.overwrites:
            self._skip_overwritten(place, used)
        ahead = (place - self._read_packet) & (shape.packets - 1)
        if ahead == 0 and used < self._read_bytes:
            self.damaged = True
            return
        # Read these values now, since `consume` changes them while the caller iterates over the chunks.
        start, first_packet, last_packet = self._read_bytes, self._read_packet, self._read_packet + ahead
        for number in range(first_packet, last_packet + 1):
            end = used if number == last_packet else shape.packet_payload
            first = self._packet_offset(number) - self.offset + layout.PACKET_HEADER
            if start < end:
                yield self._memory[first + start : first + end]
            start = 0

    def _skip_overwritten(self, place: int, used: int) -> None:
        """Begin with the oldest packet that is still complete, and count the records of overwritten packets as lost."""
        shape = self.shape
        number = self._control[layout.PACKET_NUMBER // _WORD]
        # `_locate` returns the next packet for the end of a packet, although the thread has not begun the next packet
        # yet.
        current = number + 1 if (number + 1) & (shape.packets - 1) == place and used == 0 else number
        oldest = current - (shape.packets - 1)
        if current & (shape.packets - 1) == place and self._read_packet < oldest < _MOST_EVENTS:
            self.overwritten += (oldest - self._read_packet) * (shape.packet_payload // shape.record_size)
            self._read_packet = oldest

    def fills_packet(self, length: int) -> bool:
        """Whether ``length`` further bytes complete the packet that is being read."""
        return self._read_bytes + length == self.shape.packet_payload

    def consume(self, length: int) -> None:
        """Note that ``length`` bytes of the first chunk of `unread` are processed. A finished packet is released to the
        writer."""
        self._read_bytes += length
        if self._read_bytes >= self.shape.packet_payload:
            self._read_bytes = 0
            self._read_packet += 1
            if not self.overwrites:
                self._control[layout.RELEASED // _WORD] = self._read_packet + self.shape.packets - 1

    def _locate(self, position: int) -> tuple[int, int | None]:
        """The index in the ring of the packet that contains ``position``, and the number of bytes of records before
        ``position`` in this packet; None instead of this number if ``position`` is impossible."""
        shape = self.shape
        place, within = divmod(position - self.base - self.offset - layout.PAGE, shape.packet_stride)
        used = within - layout.PACKET_HEADER
        if not (0 <= place < shape.packets and 0 <= used <= shape.packet_payload and used % shape.record_size == 0):
            return 0, None
        # The end of a packet is the start of the next one, even before the writer has moved there. A writer is never a
        # whole ring ahead of the reader (`RELEASED`), so its position identifies the lap.
        return ((place + 1) & (shape.packets - 1), 0) if used == shape.packet_payload else (place, used)


def _mapped(file: int, offset: int, size: int) -> memoryview:
    """Map a part of ``file``. Raises OSError.

    Python's own mmap keeps a descriptor for each mapping, and there are thousands of mappings.
    """
    address = _libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, file, offset)
    if address == _MAP_FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    memory = (ctypes.c_ubyte * size).from_address(address)
    # The mapping is removed when the last view of it is gone.
    weakref.finalize(memory, _libc.munmap, ctypes.c_void_p(address), ctypes.c_size_t(size)).atexit = False
    return memoryview(memory).cast("B")


class RingPool:
    """The memory of all rings of a run. ``most``: the maximum number of rings that are lent at the same time.

    Raises `HtrunError` if there is not enough memory.
    """

    def __init__(self, shape: RingShape, most: int) -> None:
        self.shape = shape
        self.size = shape.size * most
        self.file = os.memfd_create("htrun-rings", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self.file).atexit = False
        try:
            os.ftruncate(self.file, self.size)
        except OSError as error:
            hint = "; files may not be that large (ulimit -f)" if error.errno == errno.EFBIG else ""
            reason = f"{error.strerror}{hint}"
            raise HtrunError(f"cannot make the rings' memory ({self.size} bytes): {reason}") from error
        # A tracee may open the file (/proc/PID/map_files). If it could truncate the file, htrun would die by SIGBUS.
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self.most = most
        self._free: list[tuple[int, Ring]] = []
        """A heap of free rings, lowest number first. Processes have the first rings mapped, and forked children inherit
        these mappings."""
        self._made = 0

    def take(self) -> Ring | None:
        """A free ring; None if all rings are lent. Raises `HtrunError` if there is no memory for the ring."""
        if self._free:
            return heapq.heappop(self._free)[1]
        if self._made == self.most:
            return None
        try:
            ring = Ring(self, self._made)
        except OSError as error:
            raise HtrunError(f"cannot map a ring ({self.shape.size} bytes): {error.strerror}") from error
        self._made += 1
        return ring

    def give_back(self, ring: Ring) -> None:
        """Free a ring whose thread has exited and whose records have all been consumed."""
        ring.stream = None
        heapq.heappush(self._free, (ring.number, ring))
