"""The table of trampolines, as the machine code reads it."""

from __future__ import annotations

import ctypes

from htrun.tracee.code_ranges import CodeRanges

_MOST = 4096


def ranges_at(address: int) -> list[tuple[int, int]]:
    """The table at an address: a count, a word, and that many pairs."""
    (count,) = (ctypes.c_uint64 * 1).from_address(address)
    words = list((ctypes.c_uint64 * (2 * count)).from_address(address + 16))
    return list(zip(words[::2], words[1::2], strict=True))


def test_a_range_is_there_as_long_as_a_process_has_it() -> None:
    ranges = CodeRanges()
    ranges.add(0x1000, 0x2000)
    ranges.add(0x5000, 0x9000)
    ranges.add(0x1000, 0x2000)
    assert sorted(ranges_at(ranges.address)) == [(0x1000, 0x2000), (0x5000, 0x9000)]
    ranges.remove(0x1000, 0x2000)
    assert (0x1000, 0x2000) in ranges_at(ranges.address)
    ranges.remove(0x1000, 0x2000)
    assert ranges_at(ranges.address) == [(0x5000, 0x9000)]


def test_too_many_are_all_addresses() -> None:
    ranges = CodeRanges()
    for number in range(_MOST + 1):
        ranges.add(number << 20, number + 1 << 20)
    assert ranges_at(ranges.address) == [(0, (1 << 64) - 1)]
    ranges.remove(0, 1 << 20)
    assert len(ranges_at(ranges.address)) == _MOST
