"""A trace in Python: ``htrun.open(path)``.

::

    trace = htrun.open("trace")
    for event in trace:                       # one object for each event
        print(event.time, event.stream.comm, event.name, event.values)
    for batch in trace.events():              # numpy record arrays, in constant memory
        ...
    trace.to_numpy(), trace.to_arrow(), trace.to_pandas()   # all events
    trace.spans()                             # all spans
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.guest_trace.processors import processors_in
from htrun.analysis.merged import MergedReader
from htrun.analysis.reader import open_reader
from htrun.errors import HtrunError
from htrun.events.call_texts import without_texts
from htrun.events.definitions import USER_SYSCALL_TEXT
from htrun.events.named import NAMED_EVENTS_FACT, NamedEvents, Phase
from htrun.events.records import NUMBERS, event_dtype
from htrun.events.shapes import Shapes
from htrun.events.window import BATCH, EVERYTHING, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow

    from htrun.analysis.ftrace.formats import EventFormat
    from htrun.analysis.guest_trace.decoder import GuestTrace
    from htrun.analysis.reader import TraceReader
    from htrun.analysis.spans import TraceSpans
    from htrun.events.definitions import Definition
    from htrun.events.losses import Loss
    from htrun.events.records import Events
    from htrun.events.shapes import Shape
    from htrun.events.stream import Stream

_MARGIN = 50_000_000
"""The maximum time in ns from the first to the last piece of an entry of a guest's trace, unless the machine was
stopped."""


class DamagedTraceWarning(UserWarning):
    """Only part of a trace can be read. The message names the file and the position, and describes the damage."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    ``time``: the time of the event, in ns since the epoch.
    ``name``: the name that the user gave the event, otherwise QEMU's name.
    ``stream``: the thread.
    ``site``: the number of the instruction that emitted the event.
    ``index``: the slot.
    ``num``: the number of the system call.
    ``arch``: the interface of the system call, an AUDIT_ARCH_* of <linux/audit.h>.
    ``args``: the arguments as they were stored.
    ``values``: every argument by its name, in the type that the user declared.

    ``site``, ``index``, ``num`` and ``arch`` are None for events that have no such field.
    """

    time: int
    name: str
    phase: Phase
    stream: Stream
    site: int | None
    index: int | None
    num: int | None
    arch: int | None
    args: tuple[int, ...]
    values: Mapping[str, int | float | bool | str]


class Trace:
    """One or several recordings, read in order of time. Only an index of the recordings is kept in memory.

    ``path``: the path of the first recording. ``names``: the user's names of events, None if there are none.
    """

    def __init__(self, readers: Sequence[TraceReader], names: NamedEvents | None) -> None:
        self._reader = readers[0] if len(readers) == 1 else MergedReader(readers)
        self.path = self._reader.path
        self.names = names
        self._guest_formats: Sequence[EventFormat] | None = ()
        self._warn: Callable[[str], None] = _warn

    @classmethod
    def open(
        cls,
        path: Path,
        names: NamedEvents | None = None,
        warn: Callable[[str], None] | None = None,
        guest_formats: Sequence[EventFormat] | None = (),
    ) -> Trace:
        """Open the trace at ``path``. Raises `HtrunError` if it is not a trace.

        ``names``: the names of events, used instead of the names in the trace.
        ``warn``: a function that is called with a message for each damaged place, both by `open` and later while events
        are read. If it is None, a `DamagedTraceWarning` is issued instead.
        ``guest_formats``: the formats of events of a guest's kernel, for a guest that has not sent them. If it is None,
        the trace of the guest's kernel is not decoded.
        """
        warn = warn or _warn
        reader = open_reader(path, warn)
        trace = cls([reader], names or _carried_names(reader, warn))
        trace._guest_formats = guest_formats
        trace._warn = warn
        return trace

    @property
    def environment(self) -> Mapping[str, str | int]:
        """The facts of the run: command, host, emulator, and so on."""
        return self._reader.description

    @property
    def clock_frequency(self) -> int:
        """The frequency of the trace's clock in Hz."""
        return self._reader.clock_frequency

    @property
    def losses(self) -> Sequence[Loss]:
        """The times and threads of lost events."""
        return self._reader.losses

    @property
    def num_args(self) -> int:
        """The maximum number of arguments in a row of `events`."""
        return self._reader.num_args if self.guest is None else self.guest.num_args

    @cached_property
    def guest(self) -> GuestTrace | None:
        """The traces that guests' kernels have sent; None if there are none. If this is the trace of a machine, the
        first access scans the whole trace."""
        if self._guest_formats is None or not processors_in(self.streams):
            return None
        from htrun.analysis.guest_trace.decoder import GuestTrace

        return GuestTrace.read(
            self.streams,
            self._reader.channel_args,
            lambda streams: self._reader.batches(Window(streams=streams), BATCH),
            self._guest_formats,
            self._warn,
        )

    @property
    def streams(self) -> Sequence[Stream]:
        """The threads; the ``stream`` of an event is an index into this sequence."""
        return self._reader.streams

    @property
    def discarded(self) -> Sequence[int]:
        """The number of lost events of each stream."""
        return self._reader.discarded

    @property
    def kinds(self) -> tuple[Definition, ...]:
        """The kinds of events that the trace can contain."""
        return self._reader.kinds

    @property
    def duration(self) -> tuple[int, int] | None:
        """The times of the first and the last event in ns since the epoch; None if there are no events."""
        return self._reader.duration

    @cached_property
    def shapes(self) -> Shapes:
        """The fields of each kind of event."""
        names = self.names if self.guest is None else self.guest.names(self.names)
        return Shapes(self._reader.channel_args, names)

    def __len__(self) -> int:
        """The number of events. If the trace is damaged, fewer events can be read."""
        return self._reader.count

    def events(self, window: Window = EVERYTHING, size: int = BATCH, *, texts: bool = False) -> Iterator[Events]:
        """The events of ``window`` as record arrays (`htrun.events.records.event_dtype`) of at most ``size`` rows each.

        The events of all threads are merged in order of time. The memory used does not grow with the trace. If
        ``texts`` is true, the texts that system calls point to are included, if they were recorded
        (`htrun.events.call_texts`). Each text follows its call.
        """
        guest = self.guest
        batches = self._reader.batches(window, size) if guest is None else self._decoded(guest, window, size)
        return batches if texts or USER_SYSCALL_TEXT not in self.kinds else self._without_texts(batches)

    @staticmethod
    def _without_texts(batches: Iterator[Events]) -> Iterator[Events]:
        return (events for batch in batches if len(events := without_texts(batch)))

    def _decoded(self, guest: GuestTrace, window: Window, size: int) -> Iterator[Events]:
        """The decoded events of ``window``.

        Events shortly before and after the window are also read, because the pieces of an entry may be partly before
        and partly after a limit of the window.
        """
        wider = Window(max(window.begin - _MARGIN, 0), min(window.end + _MARGIN, EVERYTHING.end), window.streams)
        for events in guest.decode(self._reader.batches(wider, size)):
            first, last = np.searchsorted(events["time"], np.array([window.begin, window.end], np.uint64))
            wanted = events[first:last]
            for start in range(0, len(wanted), size):
                yield wanted[start : start + size]

    def __iter__(self) -> Iterator[Event]:
        """An object for each event, in order of time."""
        for batch in self.events():
            yield from self._objects(batch)

    def to_numpy(self) -> Events:
        """All events as one record array."""
        whole = np.empty(len(self), event_dtype(self.num_args))
        count = 0
        for batch in self.events():
            whole[count : count + len(batch)] = batch
            count += len(batch)
        return whole[:count]

    def to_arrow(self) -> pyarrow.Table:
        """All events as an Arrow table. Raises `HtrunError` if the package pyarrow is not installed."""
        from htrun.analysis.arrow import to_table

        return to_table(self)

    def to_pandas(self) -> Any:
        """The table of `to_arrow` as a data frame (`htrun.analysis.arrow.data_frame`). Raises `HtrunError` if pandas or
        pyarrow is not installed."""
        from htrun.analysis.arrow import data_frame

        return data_frame(self.to_arrow())

    def spans(self) -> TraceSpans:
        """All spans, which are kept in memory."""
        from htrun.analysis.spans import TraceSpans

        return TraceSpans(self)

    def _objects(self, batch: Events) -> Iterator[Event]:
        made: list[Event | None] = [None] * len(batch)
        for shape, rows in self.shapes.split(batch):
            places = range(len(batch))[rows] if isinstance(rows, slice) else rows.tolist()
            for place, event in zip(places, self._of_shape(batch[rows], shape), strict=True):
                made[place] = event
        yield from (event for event in made if event is not None)

    def _of_shape(self, events: Events, shape: Shape) -> Iterator[Event]:
        count = self.shapes.width(shape)
        absent = [None] * len(events)
        numbers = [events[name].tolist() if name in shape.definition.columns else absent for name in NUMBERS]
        columns = [events[name].tolist() for name in ("time", "stream", "args")]
        for time, stream, args, site, index, num, arch in zip(*columns, *numbers, strict=True):
            values: dict[str, Any] = {
                argument.name: argument.value(word)
                for argument, word in zip(shape.arguments, args[shape.first :], strict=False)
            }
            thread, words = self.streams[stream], tuple(args[:count])
            yield Event(time, shape.title, shape.phase, thread, site, index, num, arch, words, values)


def _carried_names(reader: TraceReader, warn: Callable[[str], None]) -> NamedEvents | None:
    text = reader.description.get(NAMED_EVENTS_FACT)
    if not isinstance(text, str) or not text:
        return None
    try:
        return NamedEvents.parse(text, f"{reader.path}: the named events in its metadata")
    except HtrunError as error:
        # The events can be read without their names.
        warn(str(error))
        return None


def _warn(message: str) -> None:
    warnings.warn(message, DamagedTraceWarning, stacklevel=2)
