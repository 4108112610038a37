"""The address ranges of trampolines in all processes, for machine code that must not deliver a signal inside one."""

from __future__ import annotations

import ctypes
from collections import Counter

_MOST = 4096
_EVERYWHERE = (0, (1 << 64) - 1)


class _Ranges(ctypes.Structure):
    """``count`` is the number of ranges. From word 2 on, each range takes two words: its first address, and the first
    address after it."""

    _fields_ = [("count", ctypes.c_uint64), ("reserved", ctypes.c_uint64), ("words", ctypes.c_uint64 * (2 * _MOST))]


class CodeRanges:
    """A multiset of address ranges, since forked processes have trampolines at the same addresses. If the table has no
    room for all ranges, a single range that contains all addresses replaces them."""

    def __init__(self) -> None:
        self._ranges = _Ranges()
        self._counts: Counter[tuple[int, int]] = Counter()

    @property
    def address(self) -> int:
        """The address of the table that the machine code reads."""
        return ctypes.addressof(self._ranges)

    def add(self, start: int, end: int) -> None:
        """Count one more process with trampolines in ``[start, end)``."""
        self._counts[start, end] += 1
        if self._counts[start, end] == 1:
            self._write()

    def remove(self, start: int, end: int) -> None:
        """Count one process less with trampolines in ``[start, end)``."""
        self._counts[start, end] -= 1
        if self._counts[start, end] == 0:
            del self._counts[start, end]
            self._write()

    def _write(self) -> None:
        ranges = list(self._counts) if len(self._counts) <= _MOST else [_EVERYWHERE]
        words = [word for pair in ranges for word in pair]
        self._ranges.words[: len(words)] = words
        self._ranges.count = len(ranges)
