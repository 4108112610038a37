"""Keeps freed memory for reuse.

The drain copies some megabytes of each ring in each round, and frees them at its end. glibc returns such large blocks
to the kernel immediately. Then the next round has a page fault for each page of a block, and these page faults take
longer than the work on the records.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""<malloc.h>"""
_KEPT = 64 << 20
_MOST_IN_HEAP = 32 << 20
"""The greatest value that mallopt(3) accepts, in bytes."""


def keep_some() -> None:
    """Let this process keep up to 64 MiB of freed memory. This has no effect with C libraries other than glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _MOST_IN_HEAP)
