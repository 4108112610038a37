"""Events as lines of text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from htrun.events.call_texts import in_batches, split
from htrun.events.named import Phase
from htrun.reports.table import printable
from htrun.sinks import syscall_text
from htrun.sinks.columns import BATCH, decimal, digits, from_texts, of_streams, side_by_side, text_of
from htrun.sinks.values import LOG, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from htrun.events.call_texts import BatchTexts
    from htrun.events.records import Events
    from htrun.events.shapes import Shape, Shapes
    from htrun.events.stream import Stream
    from htrun.reports.guest_lines import GuestLines
    from htrun.sinks.columns import Column

_SECOND = 10**9


@dataclass(frozen=True)
class Palette:
    """The escape sequences for colours on a terminal (ECMA-48, SGR)."""

    time: bytes = b""
    thread: bytes = b""
    name: bytes = b""
    field: bytes = b""
    off: bytes = b""


COLOURS = Palette(b"\x1b[2m", b"\x1b[36m", b"\x1b[1m", b"\x1b[34m", b"\x1b[0m")


@dataclass
class Lines:
    """Formats events as lines.

    ``begin``: the start of relative times, in ns since the epoch.
    ``clocks``: the kinds of times that each line begins with.
    ``guest``: formats the events of a guest's kernel; None: they are formatted like other events.
    ``decode``: whether system calls are shown with their names.
    """

    shapes: Shapes
    streams: Sequence[Stream]
    begin: int
    clocks: Sequence[str] = ("relative",)
    palette: Palette = field(default_factory=Palette)
    guest: GuestLines | None = None
    decode: bool = False
    _last: int | None = None

    def pieces(self, batches: Iterator[Events]) -> Iterator[bytes]:
        """The text of ``batches``, in pieces that contain complete lines."""
        for events in batches:
            yield from map(self.text, in_batches(events, BATCH))

    def text(self, events: Events, ids: NDArray[np.uint64] | None = None) -> bytes:
        """The lines of the next ``events`` of the trace. There must be at least one event.

        ``ids``: the ids that the lines begin with, one for each event that is not a text of a call. None: no ids.
        """
        events, texts = split(events)
        shown: list[Column] = [] if ids is None else [self.palette.time, b"#", decimal(ids), self.palette.off, b" "]
        heads = side_by_side([*shown, *self._heads(events)], len(events))
        parts = []
        for shape, rows in self.shapes.split(events):
            own = events[rows]
            parts.append((rows, side_by_side([heads[rows], *self._fields(shape, own, texts.of_rows(rows))], len(own))))
        return text_of(parts, len(events))

    def _heads(self, events: Events) -> list[Column]:
        columns: list[Column] = [self.palette.time]
        for clock in self.clocks:
            columns += [*self._time(clock, events["time"]), b" "]
        self._last = int(events["time"][-1])
        columns += [self.palette.off + self.palette.thread]
        columns.append(of_streams(events["stream"], self.streams, _thread))
        columns.append(self.palette.off + b" " + self.palette.name)
        return columns

    def _time(self, clock: str, times: NDArray[np.uint64]) -> list[Column]:
        match clock:
            case "relative":
                return _seconds(times - np.uint64(self.begin), width=6)
            case "delta":
                before = np.concatenate([times[:1] if self._last is None else [np.uint64(self._last)], times[:-1]])
                return [b"+", *_seconds(times - before, width=1)]
            case "epoch":
                return _seconds(times, width=1)
            case _:
                return _dates(times)

    def _fields(self, shape: Shape, events: Events, found: BatchTexts) -> list[Column]:
        columns: list[Column] = [shape.title.encode(), self.palette.off]
        if self.decode and syscall_text.is_call(shape.definition):
            return [*columns, b" ", syscall_text.lines(shape.definition, events, found), b"\n"]
        text = self.guest.columns(shape, events) if self.guest is not None else None
        if text is not None:
            return [*columns, *text, b"\n"]
        if shape.phase is not Phase.INSTANT:
            columns += [self._field("phase"), shape.phase.value.encode()]
        if shape.number_column is not None:
            columns += [self._field(shape.number_column), decimal(events[shape.number_column])]
        for argument, words in shape.words(events):
            columns += [self._field(argument.name), *texts(argument, words, LOG)]
        return [*columns, b"\n"]

    def _field(self, name: str) -> bytes:
        return b" " + self.palette.field + name.encode() + self.palette.off + b"="


def _thread(stream: Stream) -> bytes:
    return f"{printable(stream.comm)}:{stream.tid}".encode()


def _seconds(nanoseconds: NDArray[np.uint64], width: int) -> list[Column]:
    """Seconds with nine decimals. The integer part is padded to ``width`` characters."""
    seconds, fraction = np.divmod(nanoseconds, np.uint64(_SECOND))
    whole = decimal(seconds)
    room = width - whole.shape[1]
    if width > 1:
        whole = np.where(whole == 0, np.uint8(ord(" ")), whole)
    return [b" " * max(room, 0), whole, b".", digits(fraction, 9)]


def _dates(times: NDArray[np.uint64]) -> list[Column]:
    """The local date and time, with nine decimals."""
    seconds, fraction = np.divmod(times, np.uint64(_SECOND))
    used, place = np.unique(seconds, return_inverse=True)
    texts = from_texts([_date(second) for second in used.tolist()])
    return [texts[place], b".", digits(fraction, 9)]


def _date(second: int) -> bytes:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second)).encode()
    except (OverflowError, ValueError, OSError):
        # The year of a damaged time may be out of range.
        return b"@%d" % second
