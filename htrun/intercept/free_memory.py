"""Finds free address ranges for trampolines in a tracee."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from pathlib import Path

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
        lowest = max(int(Path("/proc/sys/vm/mmap_min_addr").read_text()), 1 << 16)
        self._ranges = list(gaps(sorted(_used(tid)), lowest, _HIGHEST))

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


def limit_of(tid: int, name: str) -> int | None:
    """The soft limit ``name`` in /proc/TID/limits, in bytes; None if it is unlimited. Raises OSError."""
    lines = Path(f"/proc/{tid}/limits").read_text().splitlines()
    value = next(line for line in lines if line.startswith(name))[len(name) :].split()[0]
    return None if value == "unlimited" else int(value)


def _used(tid: int) -> Iterator[Range]:
    """The ranges that are mapped, and the ranges into which the heap and the first thread's stack may grow."""
    stat = Path(f"/proc/{tid}/stat").read_text(encoding="utf-8", errors="replace")
    heap_end = int(stat.rpartition(")")[2].split()[_START_BRK - 2])
    room = min(limit_of(tid, "Max stack size") or _STACK_ROOM, _STACK_ROOM)
    with open(f"/proc/{tid}/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split(" ", 1)[0].split("-"))
            if line.endswith("[heap]\n"):
                heap_end = end
            elif line.endswith("[stack]\n"):
                start -= room + _STACK_GUARD
            yield start, end
    yield heap_end, heap_end + _HEAP_ROOM
