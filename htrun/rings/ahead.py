"""Memory brought into reach before a thread writes there.

The first touch of each page of a ring costs its thread a fault, some microseconds: as much as a hundred events. So a
ring's pages are made by htrun, and entered into the thread's page tables from outside, some way ahead of where it
writes. All of it is done by the drain's thread, on no thread's time but its own, and none of it has to succeed.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htrun.rings.ring import Ring

FEW = 8
"""So many rings get more than the others, and at once: most programs have no more threads that emit."""
_LEAST, _LEAST_OF_FEW = 256 << 10, 1 << 20
"""Bytes that are ready ahead of a thread, however few it has written."""
_MOST = 1 << 20
"""Bytes made ready at a time for one thread: about a millisecond's work."""
_MADV_POPULATE_WRITE = 23
"""<linux/mman.h>, Linux 5.14."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("address", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def keep_ahead(ring: Ring) -> None:
    """Make ready what the ring's thread will write next: as much again as it has written, so that memory that is never
    used is no more than what is."""
    if ring.ended:
        return
    tid = ring.stream.tid if ring.stream is not None else 0
    written = ring.extent
    least = _LEAST_OF_FEW if ring.offset < FEW * ring.shape.size else _LEAST
    goal = min(ring.shape.size, written + max(written, least), ring.ready + _MOST)
    if not ring.base or tid == 0 or goal <= ring.ready:
        return
    start, end = ring.ready, -(-goal // mmap.PAGESIZE) * mmap.PAGESIZE
    made = _make(ring.host_address + start, end - start)
    shown = made and _show(tid, ring.address + start, ring.address + end)
    ring.ready = end if shown else ring.shape.size


def _make(address: int, size: int) -> bool:
    """Let htrun's own mapping have pages."""
    return bool(_libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), _MADV_POPULATE_WRITE) == 0)


def _show(tid: int, start: int, end: int) -> bool:
    """Let the memory of thread ``tid`` have pages that are made: by reading a byte of each of them there.

    In a shared mapping of a memory file, a page that was entered for reading can be written without a fault as well.
    """
    places = range(start, end, mmap.PAGESIZE)
    buffer = ctypes.create_string_buffer(len(places))
    local = _Range(ctypes.addressof(buffer), len(places))
    remote = (_Range * len(places))(*(_Range(place, 1) for place in places))
    read = _libc.process_vm_readv(tid, ctypes.byref(local), 1, remote, len(places), 0)
    return bool(read == len(places))
