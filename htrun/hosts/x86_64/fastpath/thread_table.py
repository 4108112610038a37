"""A table by thread id, for machine code that must find what is known of a thread without any search."""

from __future__ import annotations

import mmap

from htrun.tracee.ptrace import MOST_THREADS

_MAP_NORESERVE = 0x4000
"""<asm-generic/mman-common.h>; Python 3.11 has no name for it."""


def thread_table(entry_size: int) -> mmap.mmap:
    """Zeros: `MOST_THREADS` entries of ``entry_size`` bytes. Untouched pages of it take no memory."""
    return mmap.mmap(-1, MOST_THREADS * entry_size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
