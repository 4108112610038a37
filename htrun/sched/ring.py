"""The ring of a thread's event: memory to which the kernel writes records, and which htrun empties.

The first page is struct perf_event_mmap_page (<linux/perf_event.h>). Its u64 ``data_head`` is the number of bytes that
the kernel has written in total, and its u64 ``data_tail`` the number of bytes that htrun has read. Loads and stores of
a word are atomic, and x86 keeps their order.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import TYPE_CHECKING

from htrun.sched.event import open_event

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HEAD, _TAIL = 1024 // 8, 1032 // 8
"""The indexes of the words ``data_head`` and ``data_tail``."""
_PAGES = ((8, 64), (40, 16), (None, 4))
"""The number of data pages of a ring, by the number of rings that there are already. The kernel limits the memory of
all rings of a user to perf_event_mlock_kb for each processor plus RLIMIT_MEMLOCK. The usual limits allow at least 300
rings."""
_WAKE_SHARE = 8
"""The kernel wakes htrun when one eighth of the ring is full. The rest is for records that the kernel writes
meanwhile."""
_FAILED = ctypes.c_void_p(-1).value
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


class EventRing:
    """The event of one thread, with its ring. ``descriptor``: is readable when a part of the ring is full.

    ``size``: the size in bytes of the part for records.
    """

    def __init__(self, tid: int, others: int = 0) -> None:
        """``others``: the number of rings that there are already.

        Raises OSError if the kernel refuses the event. The errno is ENOBUFS if the kernel refuses the memory for the
        ring.
        """
        for most, pages in _PAGES:
            if most is not None and others >= most:
                continue
            self.size = pages * mmap.PAGESIZE
            self.descriptor = open_event(tid, self.size // _WAKE_SHARE)
            length, access = self.size + mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE
            address = _libc.mmap(None, length, access, mmap.MAP_SHARED, self.descriptor, 0)
            if address != _FAILED:
                break
            os.close(self.descriptor)
        else:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        # mmap.mmap would keep a second descriptor open.
        self._address: int = address
        self._words: NDArray[np.uint64] | None = None

    def take(self) -> NDArray[np.uint64]:
        """Take all records out of the ring. Returns a copy of them, as words."""
        import numpy as np

        if self._words is None:
            memory = (ctypes.c_uint64 * ((self.size + mmap.PAGESIZE) // 8)).from_address(self._address)
            self._words = np.frombuffer(memoryview(memory).cast("B"), np.uint64)
        words = self._words
        head, tail = int(words[_HEAD]), int(words[_TAIL])
        if head == tail:
            return np.empty(0, np.uint64)
        data = words[mmap.PAGESIZE // 8 :]
        first, last = tail % self.size // 8, head % self.size // 8
        taken = data[first:last].copy() if first < last else np.concatenate([data[first:], data[:last]])
        words[_TAIL] = head
        return taken

    def close(self) -> None:
        """Release the event and the memory. `take` must not be called any more."""
        self._words = None
        _libc.munmap(self._address, self.size + mmap.PAGESIZE)
        os.close(self.descriptor)
