"""Prefaults memory before a thread writes there.

The first access of a thread to each page of its ring causes a page fault, which takes some microseconds, as long as a
hundred events. So htrun allocates a ring's pages, and enters them into the page tables of the thread's process, some
distance ahead of the thread's position. The drain's thread does all of this, so no other thread spends time on it. If a
step fails, the ring is not prefaulted any further.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htrun.rings.ring import Ring

FEW = 8
"""The number of rings at the start of the pool that get more memory than later rings, and get it immediately. Few
programs have more threads that emit."""
_LEAST, _LEAST_OF_FEW = 256 << 10, 1 << 20
"""The minimum number of bytes after a thread's position that are prefaulted, even if the thread has written little. The
second value is for the first `FEW` rings.
"""
_MOST = 1 << 20
"""The maximum number of bytes that are prefaulted for one thread in one step. Such a step takes about a millisecond."""
_MADV_POPULATE_WRITE = 23
"""<linux/mman.h>, Linux 5.14."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("address", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def keep_ahead(ring: Ring) -> None:
    """Prefault the memory to which the ring's thread will write next: as many bytes as the thread has already written.
    So the memory that is never used is at most as large as the memory that is used."""
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
    """Allocate the pages, and enter them into htrun's own page tables. Returns whether this has succeeded."""
    return bool(_libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), _MADV_POPULATE_WRITE) == 0)


def _show(tid: int, start: int, end: int) -> bool:
    """Enter allocated pages into the page tables of thread ``tid``, by reading a byte of each page through that thread.
    Returns whether this has succeeded.

    In a shared mapping of a memory file, a page that was faulted in by a read can also be written without a fault.
    """
    places = range(start, end, mmap.PAGESIZE)
    buffer = ctypes.create_string_buffer(len(places))
    local = _Range(ctypes.addressof(buffer), len(places))
    remote = (_Range * len(places))(*(_Range(place, 1) for place in places))
    read = _libc.process_vm_readv(tid, ctypes.byref(local), 1, remote, len(places), 0)
    return bool(read == len(places))
