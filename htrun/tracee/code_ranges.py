"""Where trampolines are, in any process: for machine code that must not let a signal reach a thread inside one."""

from __future__ import annotations

import ctypes
from collections import Counter

_MOST = 4096
_EVERYWHERE = (0, (1 << 64) - 1)


class _Ranges(ctypes.Structure):
    """``count``, and the first and the last address but one of so many ranges: two words each, from word 2 on."""

    _fields_ = [("count", ctypes.c_uint64), ("reserved", ctypes.c_uint64), ("words", ctypes.c_uint64 * (2 * _MOST))]


class CodeRanges:
    """A multiset of address ranges: forked processes have theirs at the same addresses. If there are more ranges than
    fit, one range of all addresses replaces them."""

    def __init__(self) -> None:
        self._ranges = _Ranges()
        self._counts: Counter[tuple[int, int]] = Counter()

    @property
    def address(self) -> int:
        """For the machine code."""
        return ctypes.addressof(self._ranges)

    def add(self, start: int, end: int) -> None:
        """One more process has trampolines in ``[start, end)``."""
        self._counts[start, end] += 1
        if self._counts[start, end] == 1:
            self._write()

    def remove(self, start: int, end: int) -> None:
        """One process less has."""
        self._counts[start, end] -= 1
        if self._counts[start, end] == 0:
            del self._counts[start, end]
            self._write()

    def _write(self) -> None:
        ranges = list(self._counts) if len(self._counts) <= _MOST else [_EVERYWHERE]
        words = [word for pair in ranges for word in pair]
        self._ranges.words[: len(words)] = words
        self._ranges.count = len(ranges)
