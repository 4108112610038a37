"""Keeps freed memory for reuse.

The drain copies some megabytes of each ring in each round, and frees them at its end. glibc returns such large blocks
to the kernel immediately. Then the next round has a page fault for each page of a block, and these page faults take
longer than the work on the records.

glibc also gives each new thread a heap of its own, up to a number of heaps. It returns such a heap as soon as it is
empty, whatever the limits are (malloc/arena.c, heap_trim). So the drain's thread must share the main heap.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""<malloc.h>"""
_KEPT = 256 << 20
_MOST_IN_HEAP = 32 << 20
"""The greatest value that mallopt(3) accepts, in bytes."""


def keep_some() -> None:
    """Let this process keep up to 256 MiB of freed memory. Call this before the thread that frees the memory starts.

    This has no effect with C libraries other than glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _MOST_IN_HEAP)
        mallopt(_M_ARENA_MAX, 1)
