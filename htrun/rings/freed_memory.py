"""What becomes of memory that was freed.

The drain copies some megabytes of each ring in each round, and frees them at its end. glibc gives so much back to the
kernel at once, so the next round has a page fault for each page of it, which costs more than what is done with the
records.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""<malloc.h>"""
_KEPT = 64 << 20
_MOST_IN_HEAP = 32 << 20
"""Bytes. The largest that mallopt(3) accepts."""


def keep_some() -> None:
    """Let this process keep up to 64 MiB of memory that was freed. Other C libraries than glibc do as they like."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _MOST_IN_HEAP)
