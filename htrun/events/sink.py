"""The contract between the drain and every output format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.events.tracer_events import TracerRecords


class SinkError(Exception):
    """A sink cannot write any more. ``str()`` is one line that contains the output's name and the reason."""


class Sink(Protocol):
    """An output of decoded events. Every method may raise `SinkError`. After this error, only `close` may be called."""

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        """Write a batch of events, which are in time order. ``streams[event["stream"]]`` is the stream of ``event``."""

    def flush(self) -> None:
        """Flush everything written so far to the kernel."""

    def close(self) -> None:
        """Finish the output and release it. It must be safe to call this twice, and to call it after a failure."""


@runtime_checkable
class LossSink(Protocol):
    """A `Sink` of a format that can represent losses."""

    def dropped(self, count: int, time: int) -> None:
        """Report that ``count`` events were lost up to ``time`` (ns since the epoch). Raises `SinkError`."""


def failure_of(sink: Sink | PacketSink, error: Exception) -> str:
    """A message of one line that says why ``sink`` takes no more events.

    An exception other than `SinkError` is a bug in htrun, or the format cannot represent some text. An exception in one
    sink must not affect the other sinks.
    """
    if isinstance(error, SinkError):
        return str(error)
    name = getattr(sink, "name", None) or getattr(sink, "path", type(sink).__name__)
    return f"cannot write {name}: {type(error).__name__}: {error}"


def decodes(sink: Sink) -> bool:
    """Whether a sink also takes texts of system calls (`htrun.events.call_texts`). The sink's attribute ``decodes``
    says so."""
    return bool(getattr(sink, "decodes", False))


class PacketSink(Protocol):
    """An output that takes raw records as they are in a ring. Its methods fail in the same way as the methods of
    `Sink`."""

    def write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        """Write whole raw records of one stream, in the order in which the thread wrote them.

        ``number``: the stream's number, as for `Sink`. ``records``: the bytes of whole records, which stay unchanged
        until the next `flush`; empty if there is only a loss to report. ``discarded``: the number of events that the
        stream has lost since its start.
        """

    def thread_ended(self, number: int) -> None:
        """Take note that the stream with this ``number`` has ended."""

    def write_tracer_records(self, records: TracerRecords, streams: Sequence[Stream]) -> None:
        """Write the tracer's own events, which are in order of time.

        ``streams``: all streams; the index of a stream is its number, as for `Sink`.
        """

    def describe(self, facts: Mapping[str, str | int]) -> None:
        """Add ``facts`` that became known after the start to the output's description of the run."""

    def flush(self) -> None:
        """Flush everything written so far to the kernel."""

    def close(self) -> None:
        """Finish the output and release it. It must be safe to call this twice, and to call it after a failure."""


class Closing(ABC):
    """An output that is open until it is closed. If an action fails, the output has failed: `close` releases it, but
    does not finish it.

    ``name``: the output's name in messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._failed = False
        self._closed = False

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        """A context for an action. If the action raises an exception, the output has failed and is never finished."""
        try:
            yield
        except BaseException:
            self._failed = True
            raise

    def close(self) -> None:
        """Finish the output unless it has failed, and release it. Later calls do nothing. Raises `SinkError`."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                self._finish()
        finally:
            self._release()

    @abstractmethod
    def _finish(self) -> None:
        """Write the end of the output. Raises `SinkError`."""

    @abstractmethod
    def _release(self) -> None:
        """Close the files that the output has open. Raises `SinkError`."""


class FormatSink(Closing):
    """The base of the `Sink` of each format. ``decodes``: see the function `decodes`."""

    def __init__(self, name: str, *, decodes: bool = False) -> None:
        super().__init__(name)
        self.decodes = decodes

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        """See `Sink`. Raises `SinkError`."""
        with self._attempt():
            self._write(events, streams)

    def flush(self) -> None:
        """See `Sink`. Does nothing, unless a format holds events back."""

    @abstractmethod
    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        """Write ``events``. Raises `SinkError`."""
