"""The interface of a recording of any kind, and the table of the kinds of recordings that can be read.

To read another kind, write a module with a class that is a `TraceReader` and a `RecordingKind`, and add it to
`READERS`.
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
    """One recording. Whatever its format, its times are ns since the epoch and its events are `Events`."""

    @property
    def path(self) -> Path:
        """The path of the recording, for messages."""

    @property
    def description(self) -> Mapping[str, str | int]:
        """Facts of the run: ``command``, ``hostname``, ``emulator``, and so on. Unknown facts are absent."""

    @property
    def clock_frequency(self) -> int:
        """The frequency of the recording's clock in Hz."""

    @property
    def streams(self) -> Sequence[Stream]:
        """The threads; an event's ``stream`` is an index of this."""

    @property
    def kinds(self) -> tuple[Definition, ...]:
        """The kinds of events that it can contain."""

    @property
    def channel_args(self) -> int:
        """The number of arguments of a ``guest_hypertrace`` event."""

    @property
    def num_args(self) -> int:
        """The number of arguments for which a row of its batches has room."""

    @property
    def count(self) -> int:
        """The number of events, without the texts of system calls. A damaged recording may yield fewer."""

    @property
    def duration(self) -> tuple[int, int] | None:
        """The times of the first and the last event; None if there are no events."""

    @property
    def losses(self) -> Sequence[Loss]:
        """The losses of events: their times and threads."""

    @property
    def discarded(self) -> Sequence[int]:
        """The number of lost events by stream."""

    def batches(self, window: Window, size: int) -> Iterator[Events]:
        """The events of ``window`` in order of time, in batches of about ``size`` at most, in constant memory. The text
        of a system call is always in the same batch as its call (`htrun.events.call_texts`)."""


class RecordingKind(Protocol):
    """A kind of recordings: the class of their reader."""

    def recognises(self, path: Path) -> bool:
        """Whether ``path`` looks like a recording of this kind. A quick check."""

    def open(self, path: Path, warn: Callable[[str], None]) -> TraceReader:
        """Open the recording at ``path``. ``warn`` is called for damage. Raises `HtrunError` if it is not a
        recording."""


READERS: tuple[RecordingKind, ...] = (CtfReader,)
"""All kinds that can be read.

The first one that recognises a path opens it. A path that no kind recognises is passed to the first kind, which rejects
it.
"""


def open_reader(path: Path, warn: Callable[[str], None]) -> TraceReader:
    """Open the recording at ``path``. Raises `HtrunError` if it cannot be read."""
    kind = next((kind for kind in READERS if kind.recognises(path)), READERS[0])
    return kind.open(path, warn)
