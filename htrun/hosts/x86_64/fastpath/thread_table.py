"""A table with an entry for each thread id, so that machine code finds the entry of a thread without a search."""

from __future__ import annotations

import mmap

from htrun.tracee.ptrace import MOST_THREADS

_MAP_NORESERVE = 0x4000
"""<asm-generic/mman-common.h>; Python 3.11 lacks this constant."""


def thread_table(entry_size: int) -> mmap.mmap:
    """A table of `MOST_THREADS` entries of ``entry_size`` bytes, all zeros. Its untouched pages take no memory."""
    return mmap.mmap(-1, MOST_THREADS * entry_size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
