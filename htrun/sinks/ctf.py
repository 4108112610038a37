"""The native trace: a CTF 1.8 directory with a stream for each guest thread.

A packet is written as it comes from a ring, behind a header; nothing is converted. The metadata is there before the
first packet and every packet is whole, so the trace of an htrun that was killed can be read up to then.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from htrun.errors import HtrunError
from htrun.events.records import record_dtype
from htrun.events.sink import SinkError
from htrun.sinks.ctf_metadata import Packet, metadata, packet_header

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from htrun.events.clock import Clock
    from htrun.events.records import Records
    from htrun.events.stream import Stream

_FIRST_REFIT = 1.0
"""Seconds from the start until the clock in the metadata is corrected; then each time the run is twice as old. An htrun
that is killed so leaves times that are good to a few parts in a million of the time since."""


class CtfTrace:
    """A trace that is being written. ``path``: its directory. Make it with `create`."""

    def __init__(self, path: Path, num_args: int, clock: Clock, environment: Mapping[str, str | int]) -> None:
        self.path = path
        self._num_args = num_args
        self._clock = clock
        self._environment = dict(environment)
        self._uuid = uuid4()
        self._streams: dict[Stream, _StreamFile] = {}
        self._started = time.monotonic()
        self._refit_at = _FIRST_REFIT
        self._closed = False

    @classmethod
    def create(cls, path: Path, num_args: int, clock: Clock, environment: Mapping[str, str | int]) -> CtfTrace:
        """A new trace in the directory ``path``, which must be empty if it exists; see `make_directory`.

        ``environment``: facts of the run for the metadata; its keys must be C identifiers. Raises `HtrunError`.
        """
        make_directory(path)
        trace = cls(path, num_args, clock, environment)
        try:
            trace._write_metadata()
        except SinkError as error:
            raise HtrunError(str(error)) from error
        return trace

    def describe(self, facts: Mapping[str, str | int]) -> None:
        """Add ``facts`` that were learnt since the start to the metadata. Raises `SinkError`."""
        self._environment |= facts
        self._write_metadata()

    def write_packet(self, stream: Stream, records: memoryview, discarded: int) -> None:
        """Write ``records`` of ``stream`` as one packet; see `PacketSink`. Raises `SinkError`.

        No records at all tell of losses since the last packet. Records that a guest has spoilt so that time goes back,
        which no reader accepts, get times that do not.
        """
        import numpy as np

        file = self._streams.get(stream)
        if file is None:
            file = self._streams[stream] = _StreamFile(self.path, len(self._streams), stream, self._uuid)
        raw = np.frombuffer(records, record_dtype(self._num_args, stream.big_endian))
        file.write(raw, discarded, self._clock.source.read())
        if time.monotonic() - self._started >= self._refit_at:
            self._refit_at *= 2
            self._write_metadata()

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Correct the clock in the metadata for the whole run. Raises `SinkError`."""
        if self._closed:
            return
        self._closed = True
        self._write_metadata()

    def _write_metadata(self) -> None:
        fit = self._clock.fit()
        facts = self._environment | {"clock_source": self._clock.source.name, "clock_error_ns": fit.error_ns}
        text = metadata(self._uuid, self._num_args, fit, self._clock.source.name, facts)
        # Readers take every file for a stream, but not hidden ones.
        temporary = self.path / ".metadata"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.path / "metadata")
        except OSError as error:
            raise _failed(self.path / "metadata", error) from error


def make_directory(path: Path) -> None:
    """Make the directory ``path``; an empty one that exists will do. Raises `HtrunError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(path.iterdir())
    except FileExistsError:
        raise HtrunError(f"cannot write a trace to {path}: it is not a directory") from None
    except OSError as error:
        raise HtrunError(f"cannot write a trace to {path}: {error.strerror}") from error
    if occupied:
        raise HtrunError(f"cannot write a trace to {path}: the directory is not empty; give another, or remove it")
    if not os.access(path, os.W_OK | os.X_OK):
        raise HtrunError(f"cannot write a trace to {path}: Permission denied")


class _StreamFile:
    """One stream's file, made of whole packets. It is open only while one is written: threads may be many thousands."""

    def __init__(self, directory: Path, instance: int, stream: Stream, uuid: UUID) -> None:
        self._path = directory / f"stream-{instance}-{stream.tid}"
        self._instance = instance
        self._stream = stream
        self._uuid = uuid
        self._size = 0
        self._packets = 0
        self._last = 0

    def write(self, records: Records, discarded: int, now: int) -> None:
        """Append a packet of ``records``, or, to tell of losses alone, of none. ``now``: no record can be after it."""
        begin = end = max(self._last, now)
        if len(records):
            records = _in_order(records, self._last, now)
            begin, end = int(records["timestamp"][0]), int(records["timestamp"][-1])
        self._last = end
        packet = Packet(begin, end, records.nbytes, discarded, self._packets, self._instance)
        self._append(packet_header(self._uuid, self._stream, packet), records.view("u1").data)
        self._packets += 1

    def _append(self, header: bytes, records: memoryview) -> None:
        """Write a whole packet, or nothing of it."""
        size = len(header) + len(records)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise _failed(self._path, error) from error
        try:
            written = os.writev(descriptor, [header, records])
            # The disk is full, or nearly: the next write says so.
            rest = memoryview(b"".join((header, records)))[written:] if written < size else memoryview(b"")
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            os.ftruncate(descriptor, self._size)
            raise _failed(self._path, error) from error
        finally:
            os.close(descriptor)
        self._size += size


def _in_order(records: Records, earliest: int, latest: int) -> Records:
    """``records`` if their times lie in ``earliest .. latest`` and never go back; else a copy where it is so."""
    import numpy as np

    times = records["timestamp"].copy()
    if earliest <= times[0] and times[-1] <= latest and bool((times[1:] >= times[:-1]).all()):
        return records
    spoilt = records.copy()
    spoilt["timestamp"] = np.maximum.accumulate(np.clip(times, earliest, max(earliest, latest)))
    return spoilt


def _failed(path: Path, error: OSError) -> SinkError:
    return SinkError(f"cannot write {path}: {error.strerror}")
