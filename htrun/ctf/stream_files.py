"""The files of one stream of a native trace. Each file is readable at every moment, even after htrun was killed.

SIGKILL can stop a write(2) between two pages, and readers reject a file with part of a packet. So packets are never
appended at the end of a file. Instead, a file is extended in advance, without using disk space, and ends with an empty
packet. The padding of the empty packet is the whole unused part of the file, and no reader looks into this padding. The
new packet is written there, followed by the header of the next empty packet. Then the header of the new packet replaces
the header of the old empty packet. This is atomic because a header lies within one page. When the run ends, or when the
next packet does not fit, the file is truncated after its last packet.

When a file is full, the stream continues in another file, as LTTng's streams do with rotation: ``stream-0-1234``,
``stream-0-1234.1``. A file gets its name when it is valid.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from htrun.ctf.metadata import Packet, packet_header
from htrun.events.sink import SinkError
from htrun.rings.layout import PACKET_HEADER

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from htrun.events.records import Records
    from htrun.events.stream import Stream

_ALIGNMENT = PACKET_HEADER
"""Packets begin at multiples of this many bytes, so that no header spans two pages."""
_FIRST_LENGTH, _MOST_LENGTH = 1 << 20, 1 << 30
"""The size in bytes of a stream's first file, and the maximum size of a file. Each further file is as long as all
earlier files of the stream together.
"""
_APART = 64
"""The minimum number of ticks between two packets. This is at least a few ns, since babeltrace2 orders packets by the
nanosecond in which they begin."""


class StreamFiles:
    """One stream. ``instance``: the number of the stream in the trace. ``stream_class``: the number of the stream's
    class.

    Files are open only while they are written, since there may be thousands of threads."""

    def __init__(self, directory: Path, instance: int, stream: Stream, uuid: UUID, stream_class: int) -> None:
        self._directory = directory
        self._stream_class = stream_class
        self._instance = instance
        self._stream = stream
        self._uuid = uuid
        self._files = 0
        self._total = 0
        self._packets = 0
        self.last = 0
        """The end of the last packet in ticks."""
        self._path = directory
        self._end = self._length = 0

    def write(self, records: Records, discarded: int, now: int) -> None:
        """Append a packet of ``records``. If there are no records, the packet only reports losses. ``now``: the current
        ticks; no record is later.

        Raises `SinkError`. Packets that were written earlier remain readable.
        """
        begin = end = max(self.last, now)
        if len(records):
            records = in_order(records, self.last, now)
            begin, end = int(records["timestamp"][0]), int(records["timestamp"][-1])
        padding = _padding(records.nbytes)
        packet = self._packet(begin, end, records.nbytes, discarded, self._packets, padding)
        try:
            if self._length - self._end < packet.size:
                self._finish()
                self._begin(packet, records)
            else:
                self._append(packet, records)
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from error
        self.last = end
        self._packets += 1
        self._end += packet.size
        self._total += packet.size

    def close(self) -> None:
        """Truncate the unused part. Raises `SinkError`."""
        try:
            self._finish()
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from error

    def _begin(self, packet: Packet, records: Records) -> None:
        """Create a file that begins with ``packet``."""
        name = f"stream-{self._instance}-{self._stream.tid}" + (f".{self._files}" if self._files else "")
        self._path = self._directory / name
        # To readers, every file is a stream unless its name begins with a dot.
        hidden = self._directory / f".{name}"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            self._length = _reserve(descriptor, packet.size, max(_FIRST_LENGTH, min(self._total, _MOST_LENGTH)))
            self._put(descriptor, packet, records)
            hidden.rename(self._path)
        except OSError:
            self._length = 0
            hidden.unlink()
            raise
        finally:
            os.close(descriptor)
        self._files += 1

    def _append(self, packet: Packet, records: Records) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self._put(descriptor, packet, records)
        except OSError:
            os.ftruncate(descriptor, self._end)
            self._length = self._end
            raise
        finally:
            os.close(descriptor)

    def _put(self, descriptor: int, packet: Packet, records: Records) -> None:
        """Replace the empty packet at the end of the file by ``packet``."""
        behind = self._end + packet.size
        rest = self._length - behind
        tail = bytes(packet.padding)
        if rest:
            after = packet.end + _APART
            empty = self._packet(after, after, 0, packet.discarded, packet.number + 1, rest - PACKET_HEADER)
            tail += packet_header(self._uuid, self._stream, empty)
        _write_at(descriptor, self._end + PACKET_HEADER, records.view("u1").data, tail)
        _write_at(descriptor, self._end, packet_header(self._uuid, self._stream, packet))

    def _packet(self, begin: int, end: int, size: int, discarded: int, number: int, padding: int) -> Packet:
        return Packet(begin, end, size, discarded, number, self._instance, padding, self._stream_class)

    def _finish(self) -> None:
        """Truncate the file after its last packet. No more packets are written to this file."""
        if self._end < self._length:
            os.truncate(self._path, self._end)
        self._end = self._length = 0


def _padding(size: int) -> int:
    """The number of bytes between the end of ``size`` bytes of records and the start of the next packet."""
    return -(PACKET_HEADER + size) % _ALIGNMENT


def _reserve(descriptor: int, least: int, wanted: int) -> int:
    """Extend a file to ``wanted`` bytes, or, if files cannot be that long, to at least ``least`` bytes. Returns the new
    size."""
    length = max(wanted // _ALIGNMENT * _ALIGNMENT, least)
    while True:
        try:
            os.ftruncate(descriptor, length)
        except OSError as error:
            # The file cannot be that long, because of a limit of the user (RLIMIT_FSIZE) or of the file system.
            if error.errno != errno.EFBIG or length == least:
                raise
            length = max(length // 2 // _ALIGNMENT * _ALIGNMENT, least)
        else:
            return length


def _write_at(descriptor: int, offset: int, *parts: memoryview | bytes) -> None:
    size = sum(map(len, parts))
    written = os.pwritev(descriptor, parts, offset)
    if written < size:
        # The disk is full, or almost full. If it is full, the next write reports this.
        rest = memoryview(b"".join(parts))
        while written < size:
            written += os.pwrite(descriptor, rest[written:], offset + written)


def in_order(records: Records, earliest: int, latest: int) -> Records:
    """``records`` themselves if their times lie in ``earliest .. latest`` and never go backwards; otherwise a corrected
    copy."""
    import numpy as np

    if len(records) == 1 and earliest <= int(records["timestamp"][0]) <= latest:
        return records
    times = records["timestamp"].copy()
    if earliest <= times[0] and times[-1] <= latest and bool((times[1:] >= times[:-1]).all()):
        return records
    spoilt = records.copy()
    spoilt["timestamp"] = np.maximum.accumulate(np.clip(times, earliest, max(earliest, latest)))
    return spoilt
