"""Reads the file ``.clocks`` of a native trace (`htrun.ctf.clock_file`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import numpy as np

from htrun.ctf.clock_file import HEADER, HEADER_SIZE, MAGIC, NAME, RECORD, VERSION
from htrun.errors import HtrunError
from htrun.events.clock_readings import HostClock

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_HEADER = _MOST_RECORD = 4096
"""The maximum sizes in bytes. Later versions of htrun may add fields at the end of the header and of a record."""


class RecordedClocks(NamedTuple):
    """The contents of the file.

    ``counter``: the name of the counter of the ticks. ``boot``: identifies the boot of the host's kernel; 0 if it is
    unknown. ``readings``: an array with the dimensions (readings, clocks in the order of `HostClock`, 3); the three
    numbers are the ticks before the clock was read, its time in ns, and the ticks after.
    """

    counter: str
    boot: UUID
    readings: NDArray[np.uint64]


def read_clock_file(trace: Path) -> RecordedClocks | None:
    """The readings of the trace in the directory ``trace``; None if the trace has none, as traces of htrun 1.0.0.

    Raises `HtrunError` if the file is damaged.
    """
    path = trace / NAME
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HtrunError(f"cannot read {path}: {error.strerror}") from error
    return _parsed(raw, path)


def _parsed(raw: bytes, path: Path) -> RecordedClocks:
    if len(raw) < HEADER_SIZE or not raw.startswith(MAGIC):
        raise HtrunError(f"{path} is damaged: it does not begin with the header of clock readings")
    _, version, header, record, clocks, boot, counter = HEADER.unpack_from(raw)
    if version != VERSION:
        raise HtrunError(f"{path} has the version {version}, but this htrun reads version {VERSION}")
    possible = HEADER_SIZE <= header <= _MOST_HEADER and RECORD.size <= record <= _MOST_RECORD
    if not possible or clocks < len(HostClock):
        raise HtrunError(f"{path} is damaged: its header gives impossible sizes")
    count = max(len(raw) - header, 0) // record
    rows = np.frombuffer(raw, np.uint8, count * record, min(header, len(raw))).reshape(count, record)
    words = np.ascontiguousarray(rows[:, : RECORD.size]).view("<u8").astype(np.uint64)
    name = counter.rstrip(b"\0").decode("ascii", errors="replace")
    return RecordedClocks(name, UUID(bytes=boot), words.reshape(count, len(HostClock), 3))
