"""The interface of recordings of any kind, and the table of the kinds that can be read.

To read another kind, write a class that implements `TraceReader` and `RecordingKind`, and add the class to `READERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from htrun.ctf.reader import CtfReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from htrun.events.definitions import Definition
    from htrun.events.losses import Loss
    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.events.window import Window


class TraceReader(Protocol):
    """One recording. In every format, times are ns since the epoch and events are `Events`."""

    @property
    def path(self) -> Path:
        """The path of the recording, for messages."""

    @property
    def description(self) -> Mapping[str, str | int]:
        """The facts of the run: ``command``, ``hostname``, ``emulator``, and so on. Unknown facts are absent."""

    @property
    def clock_frequency(self) -> int:
        """The frequency of the recording's clock in Hz."""

    @property
    def streams(self) -> Sequence[Stream]:
        """The threads; the ``stream`` of an event is an index into this sequence."""

    @property
    def kinds(self) -> tuple[Definition, ...]:
        """The kinds of events that the recording can contain."""

    @property
    def channel_args(self) -> int:
        """The number of arguments of a ``guest_hypertrace`` event."""

    @property
    def num_args(self) -> int:
        """The maximum number of arguments in a row of `batches`."""

    @property
    def count(self) -> int:
        """The number of events, without the texts of system calls. Fewer events may be readable if the recording is
        damaged."""

    @property
    def duration(self) -> tuple[int, int] | None:
        """The times of the first and the last event; None if there are no events."""

    @property
    def losses(self) -> Sequence[Loss]:
        """The times and threads of lost events."""

    @property
    def discarded(self) -> Sequence[int]:
        """The number of lost events of each stream."""

    def batches(self, window: Window, size: int) -> Iterator[Events]:
        """The events of ``window`` in order of time, in batches of at most about ``size`` events. The memory used is
        constant. The text of a system call is always in the same batch as its call (`htrun.events.call_texts`)."""


class RecordingKind(Protocol):
    """A kind of recordings. It is implemented by the class of the reader."""

    def recognises(self, path: Path) -> bool:
        """A quick check whether ``path`` looks like a recording of this kind."""

    def open(self, path: Path, warn: Callable[[str], None]) -> TraceReader:
        """Open the recording at ``path``. ``warn`` is called for damage. Raises `HtrunError` if it is not a
        recording."""


READERS: tuple[RecordingKind, ...] = (CtfReader,)
"""All kinds that can be read.

A path is opened by the first kind that recognises it. If no kind recognises a path, the path is passed to the first
kind, which rejects it with an error.
"""


def open_reader(path: Path, warn: Callable[[str], None]) -> TraceReader:
    """Open the recording at ``path``. Raises `HtrunError` if it cannot be read."""
    kind = next((kind for kind in READERS if kind.recognises(path)), READERS[0])
    return kind.open(path, warn)
