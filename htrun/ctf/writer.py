"""The native trace: a CTF 1.8 directory with streams of guest threads (`htrun.ctf.thread_streams`).

If a thread has its own stream, its packets are written unchanged: only the header is filled in. The metadata exists
before the first packet, and a packet appears only when it is complete (`htrun.ctf.stream_files`). So if htrun is
killed, the trace is readable up to this moment.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from htrun.ctf.clock_file import ClockFile
from htrun.ctf.metadata import FIRST_TRACER_CLASS, metadata
from htrun.ctf.stream_files import StreamFiles
from htrun.ctf.thread_streams import NO_THREAD, ThreadStreams
from htrun.errors import HtrunError
from htrun.events.clock_readings import read_clocks
from htrun.events.records import record_dtype
from htrun.events.sink import Closing, SinkError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.events.clock import Clock
    from htrun.events.clock_readings import ClockReading
    from htrun.events.definitions import Definition
    from htrun.events.stream import Stream
    from htrun.events.tracer_events import TracerRecords

_FIRST_REFIT = 1.0
"""The time in seconds from the start until the clock in the metadata is first corrected. The clock is corrected again
whenever the run's age has doubled. If htrun is killed, the times since the last correction are accurate to a few parts
in a million."""
_READING_PERIOD = 1.0
"""The time in seconds between two readings of all clocks."""


class CtfTrace(Closing):
    """A trace that is being written. ``path``: the directory of the trace. It is created with `create`."""

    def __init__(
        self,
        path: Path,
        num_args: int,
        clock: Clock,
        environment: Mapping[str, str | int],
        tracer_events: Sequence[Definition] = (),
    ) -> None:
        super().__init__(str(path))
        self.path = path
        self._tracer_events = tuple(tracer_events)
        self._num_args = num_args
        self._clock = clock
        self._environment = dict(environment)
        self._uuid = uuid4()
        self._instances = itertools.count()
        self._threads = ThreadStreams(path, self._uuid, num_args, self._instances.__next__)
        self._tracer_streams: dict[Definition, StreamFiles] = {}
        self._started = time.monotonic()
        self._refit_at = _FIRST_REFIT
        self._clock_file: ClockFile | None = None
        self._read_clocks_at = 0.0
        self._lock = _locked(path)

    @classmethod
    def create(
        cls,
        path: Path,
        num_args: int,
        clock: Clock,
        environment: Mapping[str, str | int],
        tracer_events: Sequence[Definition] = (),
        begin: ClockReading | None = None,
    ) -> CtfTrace:
        """Create a trace in the directory ``path``, which must be empty if it exists; see `make_directory`.

        ``environment``: the facts of the run for the metadata; the keys must be C identifiers. ``tracer_events``: the
        kinds of events that will be passed to `write_tracer_records`. ``begin``: the clocks at the begin of the run.
        Raises `HtrunError`.
        """
        make_directory(path)
        trace = cls(path, num_args, clock, environment, tracer_events)
        try:
            trace._write_metadata()
            trace._begin_clock_file(begin)
        except SinkError as error:
            raise HtrunError(str(error)) from error
        return trace

    def describe(self, facts: Mapping[str, str | int]) -> None:
        """Add ``facts`` that became known after the start to the metadata. Raises `SinkError`."""
        self._environment |= facts
        self._write_metadata()

    def write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        """Write ``records`` of thread ``number`` as one packet; see `PacketSink`. Raises `SinkError`.

        An empty packet reports losses since the last packet. If a guest has corrupted records so that time goes
        backwards, their times are corrected, because no reader accepts such times.
        """
        import numpy as np

        raw = np.frombuffer(records, record_dtype(self._num_args, stream.big_endian))
        self._threads.write(number, stream, raw, discarded, self._clock.source.read())
        self._refit_in_time()

    @property
    def threads_alive(self) -> int:
        """The number of threads that have emitted, and whose exit has not been reported."""
        return self._threads.alive

    def thread_ended(self, number: int) -> None:
        """See `PacketSink`. Raises `SinkError`."""
        self._threads.ended(number)

    def write_tracer_records(self, records: TracerRecords, streams: Sequence[Stream]) -> None:
        """Write the tracer's own events; see `PacketSink`. Raises `SinkError`."""
        from htrun.ctf.tracer_streams import by_definition

        for definition, events in by_definition(records, streams):
            self._tracer_stream(definition).write(events, 0, self._clock.source.read())
        self._refit_in_time()

    def _tracer_stream(self, definition: Definition) -> StreamFiles:
        files = self._tracer_streams.get(definition)
        if files is None:
            stream_class = FIRST_TRACER_CLASS + self._tracer_events.index(definition)
            files = StreamFiles(self.path, next(self._instances), NO_THREAD, self._uuid, stream_class)
            self._tracer_streams[definition] = files
        return files

    def _refit_in_time(self) -> None:
        if time.monotonic() - self._started >= self._refit_at:
            self._refit_at *= 2
            self._write_metadata()

    def flush(self) -> None:
        """Write the records that are held back for shared streams, and, once a second, a reading of all clocks. Raises
        `SinkError`."""
        self._threads.flush(self._clock.source.read())
        if time.monotonic() >= self._read_clocks_at:
            self._write_reading()

    def _begin_clock_file(self, begin: ClockReading | None) -> None:
        self._clock_file = ClockFile(self.path, self._clock.source.name)
        if begin is not None:
            self._clock_file.add(begin)
        self._write_reading()

    def _write_reading(self) -> None:
        self._read_clocks_at = time.monotonic() + _READING_PERIOD
        if self._clock_file is not None:
            self._clock_file.add(read_clocks(self._clock.source))

    def _finish(self) -> None:
        self.flush()
        self._write_reading()

    def _release(self) -> None:
        """Truncate the files of the streams, and correct the clock for the whole run."""
        with ExitStack() as last:
            last.callback(os.close, self._lock)
            last.callback(self._write_metadata)
            # All streams are closed, even if closing one fails.
            for files in self._tracer_streams.values():
                last.callback(files.close)
            last.callback(self._threads.close)

    def _write_metadata(self) -> None:
        fit = self._clock.fit()
        facts = self._environment | {"clock_source": self._clock.source.name, "clock_error_ns": fit.error_ns}
        text = metadata(self._uuid, self._num_args, fit, self._clock.source.name, facts, self._tracer_events)
        # To readers, every file is a stream unless its name begins with a dot.
        temporary = self.path / ".metadata"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.path / "metadata")
        except OSError as error:
            raise _failed(self.path / "metadata", error) from error


def make_directory(path: Path) -> None:
    """Create the directory ``path``. The directory may already exist if it is empty. Raises `HtrunError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(path.iterdir())
    except FileExistsError:
        raise HtrunError(f"cannot write a trace to {path}: it is not a directory") from None
    except OSError as error:
        raise HtrunError(f"cannot write a trace to {path}: {error.strerror}") from error
    if occupied:
        raise HtrunError(
            f"cannot write a trace to {path}: the directory is not empty; give another, or -f to replace a trace"
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise HtrunError(f"cannot write a trace to {path}: Permission denied")


def _locked(path: Path) -> int:
    """A descriptor with a lock on the directory ``path``.

    Readers may follow the trace; the lock shows them that the trace is still being written. The kernel releases the
    lock when htrun exits for any reason. Raises `HtrunError`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HtrunError(f"cannot write a trace to {path}: {error.strerror}") from error
    # Some network file systems have no locks. The trace does not need a lock.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _failed(path: Path, error: OSError) -> SinkError:
    return SinkError(f"cannot write {path}: {error.strerror}")
