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
    """A sink cannot write any more. ``str()`` is one line that names the output and says why."""


class Sink(Protocol):
    """An output of decoded events. Every method may raise `SinkError`; after that only `close` may be called."""

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        """Write a batch in time order. ``streams[event["stream"]]`` is an event's stream."""

    def flush(self) -> None:
        """Flush everything written so far to the kernel."""

    def close(self) -> None:
        """Finish the output and release it. It must be safe to call this after a failure, and twice."""


@runtime_checkable
class LossSink(Protocol):
    """A `Sink` of a format that can represent losses."""

    def dropped(self, count: int, time: int) -> None:
        """Report ``count`` events that were lost up to ``time``, ns since the epoch. Raises `SinkError`."""


def failure_of(sink: Sink | PacketSink, error: Exception) -> str:
    """One line about why ``sink`` takes no more events. Any exception but a `SinkError` is a bug in htrun, or text that
    the format cannot represent: it must not affect the other sinks."""
    if isinstance(error, SinkError):
        return str(error)
    name = getattr(sink, "name", None) or getattr(sink, "path", type(sink).__name__)
    return f"cannot write {name}: {type(error).__name__}: {error}"


def decodes(sink: Sink) -> bool:
    """Whether a sink also takes texts of system calls (`htrun.events.call_texts`): its ``decodes`` says so."""
    return bool(getattr(sink, "decodes", False))


class PacketSink(Protocol):
    """An output that takes raw records as they are in a ring. Failures are as in `Sink`."""

    def write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        """Write whole raw records of one stream, in the order in which the thread wrote them.

        ``number``: of the stream, as for `Sink`. ``records``: bytes of whole records; empty if there is only a loss to
        report. They stay unchanged until the next `flush`. ``discarded``: events the stream has lost since its start.
        """

    def thread_ended(self, number: int) -> None:
        """The stream with this ``number`` is finished."""

    def write_tracer_records(self, records: TracerRecords, streams: Sequence[Stream]) -> None:
        """Write what the tracer itself has recorded, in order of time. ``streams``: by number, as for `Sink`."""

    def describe(self, facts: Mapping[str, str | int]) -> None:
        """Add ``facts`` that became known after the start to the output's description of the run."""

    def flush(self) -> None:
        """Flush everything written so far to the kernel."""

    def close(self) -> None:
        """Finish the output and release it. It must be safe to call this after a failure, and twice."""


class Closing(ABC):
    """The life of an output: open, perhaps failed, closed. An output that has failed is released but not finished.

    ``name``: what messages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._failed = False
        self._closed = False

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        """Do something that leaves the output unfinished for good if it raises an exception."""
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
        """Write what the output ends with. Raises `SinkError`."""

    @abstractmethod
    def _release(self) -> None:
        """Close what the output holds. Raises `SinkError`."""


class FormatSink(Closing):
    """A `Sink` of one format: what all of them share. ``decodes``: see the function `decodes`."""

    def __init__(self, name: str, *, decodes: bool = False) -> None:
        super().__init__(name)
        self.decodes = decodes

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        """See `Sink`. Raises `SinkError`."""
        with self._attempt():
            self._write(events, streams)

    def flush(self) -> None:
        """See `Sink`. A format that holds nothing back has nothing to do."""

    @abstractmethod
    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        """Write ``events``. Raises `SinkError`."""
