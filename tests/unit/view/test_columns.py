"""Columns of numbers in a page: only the bytes that differ are stored."""

from __future__ import annotations

import zlib
from base64 import b64decode

import numpy as np

from htrun.view.columns import Section


def unpacked(section: Section) -> bytes:
    return zlib.decompress(b64decode(section.text()))


def test_planes_of_one_byte_are_told_and_not_stored() -> None:
    section = Section(3)
    column = section.add(np.array([0x0100, 0x0103, 0x0102], np.uint64))
    assert column == {"section": 3, "start": 0, "count": 3, "planes": [None, 1, 0, 0, 0, 0, 0, 0], "rising": False}
    assert unpacked(section) == bytes([0, 3, 2])


def test_rising_numbers_are_stored_as_differences() -> None:
    section = Section(0)
    section.add(np.array([7, 8], np.uint32))
    column = section.add(np.array([1000, 1001, 1003, 1003]), rising=True)
    assert (column["start"], column["count"], column["rising"]) == (2, 4, True)
    assert unpacked(section) == bytes([7, 8, 1000 & 0xFF, 1, 2, 0, 1000 >> 8, 0, 0, 0])


def test_nothing_and_the_greatest() -> None:
    section = Section(0)
    assert section.add(np.empty(0, np.uint64))["planes"] == [0] * 8
    assert section.add(np.array([2**64 - 1], np.uint64))["planes"] == [255] * 8
    assert unpacked(section) == b""
