"""The file ``.clocks`` of a native trace: readings of all clocks of the host.

They are taken at the begin of the run, at the end, and once a second between, except while the recorder sleeps.

The file begins with a header of `HEADER_SIZE` bytes, and continues with records of the same size. A record is written
with one call, and readers ignore an incomplete last record, so the file is valid at every moment. The name begins with
a dot because readers of CTF take all other files for streams.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from htrun.events.clock_readings import HostClock
from htrun.events.sink import SinkError

if TYPE_CHECKING:
    from htrun.events.clock_readings import ClockReading

NAME = ".clocks"
MAGIC = b"HTCLOCKS"
VERSION = 1
HEADER = struct.Struct("<8sIIII16s16s")
"""Magic, version, size of the header, size of a record, number of clocks, boot id, name of the counter."""
HEADER_SIZE = HEADER.size
_WORDS = 3 * len(HostClock)
RECORD = struct.Struct(f"<{_WORDS}Q")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ClockFile:
    """The file of a trace that is being written, in the directory ``trace``."""

    def __init__(self, trace: Path, counter: str) -> None:
        """Create the file. ``counter``: the name of the counter of the ticks. Raises `SinkError`."""
        self.path = trace / NAME
        header = HEADER.pack(
            MAGIC, VERSION, HEADER_SIZE, RECORD.size, len(HostClock), boot_id().bytes, counter.encode()[:15]
        )
        self._size = len(header)
        self._write(header, os.O_CREAT | os.O_EXCL, 0)

    def add(self, reading: ClockReading) -> None:
        """Append ``reading``. Raises `SinkError`."""
        record = RECORD.pack(*(number for sample in reading for number in sample))
        self._write(record, 0, self._size)
        self._size += len(record)

    def _write(self, data: bytes, flags: int, offset: int) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
            try:
                written = os.pwrite(descriptor, data, offset)
                if written < len(data):
                    # The disk is full, or almost full. The next write reports this if it still is.
                    os.pwrite(descriptor, data[written:], offset + written)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SinkError(f"cannot write {self.path}: {error.strerror}") from error


def boot_id() -> UUID:
    """The number that Linux chose at its start; 0 if it cannot be read."""
    try:
        return UUID(_BOOT_ID.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return UUID(int=0)
