"""What `Trace` needs of a recording, whatever wrote it, and the table of the kinds of recordings that can be read.

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
    """One recording. Whatever it was written in, its times are ns since the epoch and its events are `Events`."""

    @property
    def path(self) -> Path:
        """Where it is; messages name it."""

    @property
    def description(self) -> Mapping[str, str | int]:
        """Facts of the run: ``command``, ``hostname``, ``emulator``, and so on; those of no meaning here are absent."""

    @property
    def clock_frequency(self) -> int:
        """Ticks in a second of the clock that its times were read from."""

    @property
    def streams(self) -> Sequence[Stream]:
        """Its threads; an event's ``stream`` is an index of this."""

    @property
    def kinds(self) -> tuple[Definition, ...]:
        """The events that it can hold."""

    @property
    def channel_args(self) -> int:
        """Arguments of a ``guest_hypertrace`` event."""

    @property
    def num_args(self) -> int:
        """Arguments that a row of its batches has room for."""

    @property
    def count(self) -> int:
        """How many events it has, without the texts of system calls; fewer can be read where it is damaged."""

    @property
    def duration(self) -> tuple[int, int] | None:
        """Time of the first and last event; None if there is none."""

    @property
    def losses(self) -> Sequence[Loss]:
        """When events were lost, and of which threads."""

    @property
    def discarded(self) -> Sequence[int]:
        """Events that were lost, by stream."""

    def batches(self, window: Window, size: int) -> Iterator[Events]:
        """The events of ``window`` in the order of time, at most about ``size`` at once, in constant memory. No batch
        parts a text of a system call from its call (`htrun.events.call_texts`)."""


class RecordingKind(Protocol):
    """A kind of recordings: the class of their reader."""

    def recognises(self, path: Path) -> bool:
        """Whether ``path`` looks like one of this kind, at a glance."""

    def open(self, path: Path, warn: Callable[[str], None]) -> TraceReader:
        """The recording at ``path``. Damage is reported to ``warn``. Raises `HtrunError` if it is none."""


READERS: tuple[RecordingKind, ...] = (CtfReader,)
"""Every kind that can be read. The first that recognises a path opens it; what none recognises, the first one refuses.
"""


def open_reader(path: Path, warn: Callable[[str], None]) -> TraceReader:
    """The recording at ``path``. Raises `HtrunError` if it is none that can be read."""
    kind = next((kind for kind in READERS if kind.recognises(path)), READERS[0])
    return kind.open(path, warn)
