"""Finds free address ranges for trampolines in a tracee."""

from __future__ import annotations

import bisect
import os
import resource
from collections.abc import Iterator
from functools import cache

PAGE = 4096
_HIGHEST = (1 << 47) - PAGE
_HEAP_ROOM = 256 << 20
"""The number of bytes after the program break that stay free, so that the heap can grow as it would without htrun."""
_STACK_ROOM = 1 << 30
"""The number of bytes below the stack that stay free if the stack limit is infinite."""
_STACK_GUARD = 1 << 20
"""The number of bytes that the kernel keeps free below a stack (stack_guard_gap,
Documentation/admin-guide/kernel-parameters.txt)."""
_START_BRK = 46
"""The index of start_brk among the words of /proc/PID/stat (field 47 in proc_pid_stat(5))."""

Range = tuple[int, int]


class FreeMemory:
    """The free ranges of one address space, as of the last `look`.

    The guest maps and unmaps memory meanwhile, so a free range is only a proposal. The caller maps it with
    MAP_FIXED_NOREPLACE, and calls `look` again if something else was mapped there.
    """

    def __init__(self) -> None:
        self._ranges: list[Range] = []

    def look(self, tid: int) -> None:
        """Read the memory map of thread ``tid``. Raises OSError."""
        self._ranges = list(gaps(sorted(_used(tid)), _lowest(), _HIGHEST))

    def take(self, start: int, end: int) -> None:
        """Remove the range ``[start, end)`` from the free ranges, because it is mapped now."""
        place = bisect.bisect_right(self._ranges, (start, _HIGHEST)) - 1
        if place >= 0:
            low, high = self._ranges[place]
            pieces = [(low, min(start, high)), (max(end, low), high)]
            self._ranges[place : place + 1] = [piece for piece in pieces if piece[0] < piece[1]]

    def proposals(self, low: int, high: int, size: int, most: int) -> Iterator[Range]:
        """Free ranges of whole pages in which ``size`` bytes can start in ``[low, high)``. If ``[low, high)`` is larger
        than ``most`` bytes, a free range may have up to ``most`` bytes. Otherwise a free range has only the pages that
        are needed."""
        place = max(bisect.bisect_right(self._ranges, (low, _HIGHEST)) - 1, 0)
        for start, end in self._ranges[place:]:
            if start >= high:
                return
            first = max(start, low // PAGE * PAGE)
            entry = max(low, first)
            needed = -(-(entry + size) // PAGE) * PAGE
            if entry < high and needed <= end:
                yield first, min(max(needed, first + most), end) if high - low > most else needed


def gaps(used: list[Range], lowest: int, highest: int) -> Iterator[Range]:
    """The parts of ``[lowest, highest)`` that are outside the sorted ranges ``used``."""
    last = lowest
    for start, end in used:
        if start > last:
            yield last, min(start, highest)
        last = max(last, end)
    if last < highest:
        yield last, highest


_NAMES = {resource.RLIMIT_AS: b"Max address space", resource.RLIMIT_STACK: b"Max stack size"}
"""The names of limits in /proc/PID/limits."""


def limit_of(tid: int, limit: int) -> int | None:
    """The soft limit ``limit`` (a key of `_NAMES`) of thread ``tid``, in bytes; None if it is unlimited. Raises
    OSError."""
    try:
        soft, _ = resource.prlimit(tid, limit)
    except PermissionError:
        # A program of another user. Its limits can be read from a file, which takes fifty times as long.
        return _limit_in_file(tid, _NAMES[limit])
    return None if soft == resource.RLIM_INFINITY else soft


def _limit_in_file(tid: int, name: bytes) -> int | None:
    lines = _read(f"/proc/{tid}/limits").splitlines()
    value = next(line for line in lines if line.startswith(name))[len(name) :].split()[0]
    return None if value == b"unlimited" else int(value)


@cache
def _lowest() -> int:
    """The lowest address that a tracee may map."""
    return max(int(_read("/proc/sys/vm/mmap_min_addr")), 1 << 16)


def _used(tid: int) -> Iterator[Range]:
    """The ranges that are mapped, and the ranges into which the heap and the first thread's stack may grow."""
    heap_end = int(_read(f"/proc/{tid}/stat").rpartition(b")")[2].split()[_START_BRK - 2])
    room = min(limit_of(tid, resource.RLIMIT_STACK) or _STACK_ROOM, _STACK_ROOM)
    for line in _read(f"/proc/{tid}/maps").splitlines():
        first, _, last = line.partition(b" ")[0].partition(b"-")
        start, end = int(first, 16), int(last, 16)
        if line.endswith(b"[heap]"):
            heap_end = end
        elif line.endswith(b"[stack]"):
            start -= room + _STACK_GUARD
        yield start, end
    yield heap_end, heap_end + _HEAP_ROOM


def _read(path: str) -> bytes:
    """The content of a file in /proc. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(descriptor, 1 << 16), b""))
    finally:
        os.close(descriptor)
