"""``hypertrace print``: a trace's events as lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from htrun.commands.trace_arguments import FILTER_HELP, add_filter, add_trace, filter_of, open_trace
from htrun.errors import HtrunError
from htrun.reports.output import stream_out
from htrun.reports.progress import with_progress
from htrun.reports.table import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from htrun.analysis.trace import Trace
    from htrun.events.call_texts import Texts
    from htrun.events.records import Events
    from htrun.events.shapes import Shape, Shapes
    from htrun.events.stream import Stream
    from htrun.reports.guest_lines import GuestLines
    from htrun.sinks.columns import Column

_CLOCKS = ("relative", "delta", "wall", "epoch")
_SECOND = 10**9


class PrintCommand:
    """Print the events of a trace, all or some, as lines or as JSON."""

    examples = (
        FILTER_HELP
        + """
examples:
  hypertrace print trace
  hypertrace print trace --time wall,delta --thread worker --from 1.5 --to 1.6
  hypertrace print trace --event 'io*' --where 'size > 4096 and kind == "READ"'
  hypertrace print trace --json --where 'arg1 == 0xcafe' | jq .args
"""
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """TRACE and how to print it."""
        add_trace(parser)
        add_filter(parser)
        group = parser.add_argument_group("how they look")
        group.add_argument("--json", action="store_true", help="print a JSON object for each event, one per line")
        group.add_argument(
            "--time",
            default="relative",
            metavar="CLOCKS",
            help="times since the first event (relative, the default), since the line before (delta), as date and time "
            "(wall), in seconds since 1970 (epoch); several with commas between",
        )
        group.add_argument(
            "--decode",
            action="store_true",
            help="show system calls as strace does; what arguments point to, if htrun had --decode",
        )
        group.add_argument("-n", "--lines", type=int, metavar="N", help="print only the first N events")
        group.add_argument(
            "--color", choices=("auto", "always", "never"), default="auto", help="whether to use colours"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Print; 0. Raises `HtrunError`."""
        clocks = tuple(arguments.time.split(","))
        for clock in clocks:
            if clock not in _CLOCKS:
                raise HtrunError(f"--time {arguments.time}: {clock!r} is none of {', '.join(_CLOCKS)}")
        if arguments.lines is not None and arguments.lines < 0:
            raise HtrunError(f"--lines {arguments.lines}: must not be negative")
        trace = open_trace(arguments)
        wanted = filter_of(arguments, trace).batches(trace, texts=arguments.decode)
        # A bar among lines on one terminal would only disturb.
        batches = with_progress(wanted, len(trace), "printing", wanted=not sys.stdout.isatty())
        if arguments.lines is not None:
            batches = _first(batches, arguments.lines)
        begin, _ = trace.duration or (0, 0)
        palette, decode = _palette(arguments.color), arguments.decode
        lines = Lines(trace.shapes, trace.streams, begin, clocks, palette, _guest_lines(trace), decode)
        stream_out(_json(trace, batches, decode=decode) if arguments.json else lines.pieces(batches))
        return 0


@dataclass(frozen=True)
class Palette:
    """What switches colours on and off on a terminal (ECMA-48, SGR)."""

    time: bytes = b""
    thread: bytes = b""
    name: bytes = b""
    field: bytes = b""
    off: bytes = b""


COLOURS = Palette(b"\x1b[2m", b"\x1b[36m", b"\x1b[1m", b"\x1b[34m", b"\x1b[0m")


@dataclass
class Lines:
    """Makes lines of events. ``begin``: the time that relative ones count from, ns since the epoch; ``clocks``: the
    times that a line begins with; ``guest``: makes the text of the events of a guest's kernel;
    ``decode``: whether system calls are told by their names."""

    shapes: Shapes
    streams: Sequence[Stream]
    begin: int
    clocks: Sequence[str] = ("relative",)
    palette: Palette = field(default_factory=Palette)
    guest: GuestLines | None = None
    decode: bool = False
    _last: int | None = None

    def pieces(self, batches: Iterator[Events]) -> Iterator[bytes]:
        """The text of ``batches``, piece by piece, each of whole lines."""
        from htrun.events.call_texts import in_batches
        from htrun.sinks.columns import BATCH

        for events in batches:
            yield from map(self.text, in_batches(events, BATCH))

    def text(self, events: Events) -> bytes:
        """The lines of ``events``, at least one, which follow those given before."""
        from htrun.events.call_texts import split
        from htrun.sinks.columns import side_by_side, text_of

        events, texts = split(events)
        heads = side_by_side(self._heads(events), len(events))
        parts = []
        for shape, rows in self.shapes.split(events):
            own = events[rows]
            parts.append((rows, side_by_side([heads[rows], *self._fields(shape, own, texts.of_rows(rows))], len(own))))
        return text_of(parts, len(events))

    def _heads(self, events: Events) -> list[Column]:
        from htrun.sinks.columns import of_streams

        columns: list[Column] = [self.palette.time]
        for clock in self.clocks:
            columns += [*self._time(clock, events["time"]), b" "]
        self._last = int(events["time"][-1])
        columns += [self.palette.off + self.palette.thread]
        columns.append(of_streams(events["stream"], self.streams, _thread))
        columns.append(self.palette.off + b" " + self.palette.name)
        return columns

    def _time(self, clock: str, times: NDArray[np.uint64]) -> list[Column]:
        import numpy as np

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

    def _fields(self, shape: Shape, events: Events, found: Texts) -> list[Column]:
        from htrun.events.named import Phase
        from htrun.sinks import syscall_text
        from htrun.sinks.columns import decimal
        from htrun.sinks.values import LOG, texts

        columns: list[Column] = [shape.title.encode(), self.palette.off]
        if self.decode and syscall_text.is_call(shape.definition):
            return [*columns, b" ", syscall_text.lines(shape.definition, events, found), b"\n"]
        text = self.guest.columns(shape, events) if self.guest is not None else None
        if text is not None:
            return [*columns, *text, b"\n"]
        if shape.phase is not Phase.INSTANT:
            columns += [self._field("phase"), shape.phase.value.encode()]
        if shape.index_name is not None:
            columns += [self._field(shape.index_name), decimal(events["index"])]
        for argument, words in shape.words(events):
            columns += [self._field(argument.name), *texts(argument, words, LOG)]
        return [*columns, b"\n"]

    def _field(self, name: str) -> bytes:
        return b" " + self.palette.field + name.encode() + self.palette.off + b"="


def _guest_lines(trace: Trace) -> GuestLines | None:
    if trace.guest is None:
        return None
    from htrun.reports.guest_lines import GuestLines

    return GuestLines(trace.guest.events)


def _thread(stream: Stream) -> bytes:
    return f"{printable(stream.comm)}:{stream.tid}".encode()


def _seconds(nanoseconds: NDArray[np.uint64], width: int) -> list[Column]:
    """Seconds with nine decimals; the whole ones take at least ``width`` characters."""
    import numpy as np

    from htrun.sinks.columns import decimal, digits

    seconds, fraction = np.divmod(nanoseconds, np.uint64(_SECOND))
    whole = decimal(seconds)
    room = width - whole.shape[1]
    if width > 1:
        whole = np.where(whole == 0, np.uint8(ord(" ")), whole)
    return [b" " * max(room, 0), whole, b".", digits(fraction, 9)]


def _dates(times: NDArray[np.uint64]) -> list[Column]:
    """Local date and time with nine decimals."""
    import numpy as np

    from htrun.sinks.columns import digits, from_texts

    seconds, fraction = np.divmod(times, np.uint64(_SECOND))
    used, place = np.unique(seconds, return_inverse=True)
    texts = from_texts([_date(second) for second in used.tolist()])
    return [texts[place], b".", digits(fraction, 9)]


def _date(second: int) -> bytes:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second)).encode()
    except (OverflowError, ValueError, OSError):
        # A damaged clock may tell of a year that no calendar has.
        return b"@%d" % second


def _first(batches: Iterator[Events], count: int) -> Iterator[Events]:
    from htrun.events.call_texts import first

    while count > 0:
        events = next(batches, None)
        if events is None:
            return
        kept, found = first(events, count)
        yield kept
        count -= found


def _json(trace: Trace, batches: Iterator[Events], *, decode: bool) -> Iterator[bytes]:
    from htrun.events.call_texts import in_batches
    from htrun.sinks.columns import BATCH
    from htrun.sinks.jsonl import format_lines

    for events in batches:
        for batch in in_batches(events, BATCH):
            yield format_lines(batch, trace.streams, trace.shapes, decode=decode)


def _palette(choice: str) -> Palette:
    """Colours if they were asked for; on their own only for a terminal, and not where the user has NO_COLOR set."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return COLOURS if choice == "always" or (choice == "auto" and wanted) else Palette()
