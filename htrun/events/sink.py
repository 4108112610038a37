"""What takes events: the contract between the drain and every output format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.events.tracer_events import TracerRecords


class SinkError(Exception):
    """A sink can't write any more. ``str()`` is one line that names the output and says why."""


class Sink(Protocol):
    """An output of decoded events. Every method may raise `SinkError`; after that only `close` may be called."""

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        """Write a batch in time order. ``streams[event["stream"]]`` is an event's stream."""

    def flush(self) -> None:
        """Give everything written so far to the kernel."""

    def close(self) -> None:
        """Finish the output and release it. Must be safe to call after a failure, and twice."""


@runtime_checkable
class LossSink(Protocol):
    """A `Sink` of a format that has a place for losses."""

    def dropped(self, count: int, time: int) -> None:
        """Tell of ``count`` events that were lost up to ``time``, ns since the epoch. Raises `SinkError`."""


def failure_of(sink: Sink | PacketSink, error: Exception) -> str:
    """One line about why ``sink`` takes no more events. Anything but a `SinkError` is a mistake of htrun's own, or text
    that the format has no place for: it must not be the end of the other sinks."""
    if isinstance(error, SinkError):
        return str(error)
    name = getattr(sink, "name", None) or getattr(sink, "path", type(sink).__name__)
    return f"cannot write {name}: {type(error).__name__}: {error}"


def decodes(sink: Sink) -> bool:
    """Whether a sink takes texts of system calls (`htrun.events.call_texts`) as well: its ``decodes`` says so."""
    return bool(getattr(sink, "decodes", False))


class PacketSink(Protocol):
    """An output that takes records as they lie in a ring. Failures are as in `Sink`."""

    def write_packet(self, number: int, stream: Stream, records: memoryview, discarded: int) -> None:
        """Write whole raw records of one stream, in the order the thread wrote them.

        ``number``: of the stream, as for `Sink`. ``records``: bytes of whole records, or of none if there is only a
        loss to tell of; they stay as they are until the next `flush`. ``discarded``: events the stream has lost since
        its start.
        """

    def thread_ended(self, number: int) -> None:
        """No more comes of the stream with this ``number``."""

    def write_tracer_records(self, records: TracerRecords, streams: Sequence[Stream]) -> None:
        """Write what the tracer has recorded itself, in the order of time. ``streams``: by number, as for `Sink`."""

    def describe(self, facts: Mapping[str, str | int]) -> None:
        """Add ``facts`` that were learnt since the start to what the output says of the run."""

    def flush(self) -> None:
        """Give everything written so far to the kernel."""

    def close(self) -> None:
        """Finish the output and release it. Must be safe to call after a failure, and twice."""
