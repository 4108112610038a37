"""``hypertrace print``: print the events of a trace as lines."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from htrun.commands.trace_arguments import FILTER_HELP, add_filter, add_trace, event_id, filter_of, open_trace
from htrun.errors import HtrunError
from htrun.reports.output import stream_out
from htrun.reports.progress import with_progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from htrun.analysis.filters import Filter
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events
    from htrun.reports.guest_lines import GuestLines
    from htrun.reports.lines import Lines, Palette

_CLOCKS = ("relative", "delta", "wall", "epoch")


class PrintCommand:
    """Print the events of a trace, all or some, as lines or as JSON."""

    examples = (
        FILTER_HELP
        + """
examples:
  hypertrace print trace
  hypertrace print trace --time wall,delta --thread worker --from 1.5 --to 1.6
  hypertrace print trace --event 'io*' --where 'size > 4096 and kind == "READ"'
  hypertrace print trace --ids --event request
  hypertrace print trace --json --where 'arg1 == 0xcafe' | jq .args
"""
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE, the filter and the form of the lines."""
        add_trace(parser)
        which = add_filter(parser)
        which.add_argument(
            "--id",
            action="append",
            default=[],
            type=event_id,
            metavar="ID",
            help="events with this id, which --ids, hypertrace slowest and stat --outliers print; repeatable",
        )
        group = parser.add_argument_group("output")
        group.add_argument("--json", action="store_true", help="print a JSON object for each event, one per line")
        group.add_argument(
            "--time",
            default="relative",
            metavar="CLOCKS",
            help="the form of times: relative (to the first event; the default), delta (since the previous line), wall "
            "(date and time) or epoch (seconds since 1970); several forms are separated by commas",
        )
        group.add_argument(
            "--ids", action="store_true", help="print the id of each event, which is its number in the trace, from 1"
        )
        group.add_argument(
            "--decode",
            action="store_true",
            help="show system calls as strace does; with the texts that arguments point to, if htrun recorded them",
        )
        group.add_argument("-n", "--lines", type=int, metavar="N", help="print only the first N events")
        group.add_argument(
            "--color", choices=("auto", "always", "never"), default="auto", help="whether to use colours"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the events; returns 0. Raises `HtrunError`."""
        from htrun.reports.lines import Lines

        clocks = tuple(arguments.time.split(","))
        for clock in clocks:
            if clock not in _CLOCKS:
                raise HtrunError(f"--time {arguments.time}: {clock!r} is none of {', '.join(_CLOCKS)}")
        if arguments.lines is not None and arguments.lines < 0:
            raise HtrunError(f"--lines {arguments.lines}: must not be negative")
        trace = open_trace(arguments)
        begin, _ = trace.duration or (0, 0)
        palette, decode = _palette(arguments.color), arguments.decode
        lines = Lines(trace.shapes, trace.streams, begin, clocks, palette, _guest_lines(trace), decode)
        wanted = filter_of(arguments, trace)
        stream_out((_numbered if arguments.ids or arguments.id else _plain)(trace, wanted, lines, arguments))
        return 0


def _plain(trace: Trace, wanted: Filter, lines: Lines, arguments: argparse.Namespace) -> Iterator[bytes]:
    # A progress bar would appear between the lines if both are printed on the same terminal.
    batches = with_progress(
        wanted.batches(trace, texts=lines.decode), len(trace), "printing", wanted=not sys.stdout.isatty()
    )
    if arguments.lines is not None:
        batches = _first(batches, arguments.lines)
    return _json(trace, batches, decode=lines.decode) if arguments.json else lines.pieces(batches)


def _numbered(trace: Trace, wanted: Filter, lines: Lines, arguments: argparse.Namespace) -> Iterator[bytes]:
    from htrun.reports.numbered import as_json, as_lines, first_numbered, numbered

    batches = numbered(wanted, trace, arguments.id, texts=lines.decode)
    if arguments.lines is not None:
        batches = first_numbered(batches, arguments.lines)
    if arguments.json:
        return as_json(batches, trace, decode=lines.decode, shown=arguments.ids)
    return as_lines(batches, lines, shown=arguments.ids)


def _guest_lines(trace: Trace) -> GuestLines | None:
    if trace.guest is None:
        return None
    from htrun.reports.guest_lines import GuestLines

    return GuestLines(trace.guest.events)


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
    """The colours, if they are requested. By default they are used only on a terminal, and only if NO_COLOR is not set
    in the environment."""
    from htrun.reports.lines import COLOURS, Palette

    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return COLOURS if choice == "always" or (choice == "auto" and wanted) else Palette()
