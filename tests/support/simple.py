"""Reads QEMU's ``simple`` traces by their published layout (QEMU: trace/simple.c, version 4), without htrun's code."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = (2**64 - 1, 0xF2B177CB0AA429B4, 4)
DROPPED = 0xFFFFFFFFFFFFFFFE
_NAME, _EVENT = 0, 1
_HEAD, _KIND, _NAMED, _RECORD = (struct.Struct(layout) for layout in ("=QQQ", "=Q", "=QI", "=QQII"))


@dataclass(frozen=True, slots=True)
class Record:
    """One event. ``name``: None for a loss, whose only argument is the number of lost events."""

    name: str | None
    time: int
    pid: int
    arguments: tuple[int, ...]


def read(data: bytes) -> Iterator[Record]:
    """The records of a trace. Raises AssertionError if QEMU's own script could not read the trace."""
    assert _HEAD.unpack_from(data) == MAGIC
    position, names = _HEAD.size, dict[int, str]()
    while position < len(data):
        (kind,) = _KIND.unpack_from(data, position)
        position += _KIND.size
        if kind == _NAME:
            number, length = _NAMED.unpack_from(data, position)
            position += _NAMED.size + length
            names[number] = data[position - length : position].decode()
            continue
        assert kind == _EVENT, f"a record of the kind {kind} before byte {position}"
        number, time, length, pid = _RECORD.unpack_from(data, position)
        arguments = struct.unpack_from(f"={(length - _RECORD.size) // 8}Q", data, position + _RECORD.size)
        position += length
        yield Record(None if number == DROPPED else names[number], time, pid, arguments)
    assert position == len(data), "it ends in the middle of a record"
