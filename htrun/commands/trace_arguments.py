"""Arguments that several verbs share: the trace, names of events, and which events are wanted."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.commands.completion import complete_directory, complete_file
from htrun.errors import HtrunError
from htrun.reports.output import warn

if TYPE_CHECKING:
    import argparse

    from htrun.analysis.filters import Filter
    from htrun.analysis.ftrace.formats import EventFormat
    from htrun.analysis.trace import Trace

_OFFSET = re.compile(r"\+?(\d{1,9})(?:\.(\d{1,9}))?(s|ms|us|ns)?")
_EPOCH = re.compile(r"@(\d{1,10})(?:\.(\d{1,9}))?")
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NS_PER_US = 1000


def add_trace(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """TRACE and --events. ``optional``: whether TRACE may be left out."""
    complete_directory(
        parser.add_argument(
            "trace",
            nargs="?" if optional else None,
            type=Path,
            metavar="TRACE",
            help="a directory written by htrun -o",
        )
    )
    complete_file(
        parser.add_argument(
            "--events",
            type=Path,
            metavar="FILE",
            help="name events by this TOML file instead of the names in the trace",
        )
    )
    complete_file(
        parser.add_argument(
            "--guest-formats",
            type=Path,
            metavar="FILE",
            help="formats of events that the guest kernel has not sent: its events/*/*/format in one file",
        )
    )
    parser.add_argument(
        "--no-guest-trace",
        action="store_true",
        help="do not decode the trace of a guest's kernel; show the pieces in which it arrived",
    )


def open_trace(arguments: argparse.Namespace, *, guest: bool = True) -> Trace:
    """The trace of `add_trace`; damage is told on standard error. ``guest``: whether the trace of a guest's kernel is
    decoded, unless the user wants it not to be. Raises `HtrunError`."""
    from htrun.analysis.trace import Trace
    from htrun.events.named import NamedEvents

    names = NamedEvents.load(arguments.events) if arguments.events is not None else None
    return Trace.open(
        arguments.trace,
        names,
        warn,
        _guest_formats(arguments.guest_formats) if guest and not arguments.no_guest_trace else None,
    )


def _guest_formats(path: Path | None) -> list[EventFormat]:
    if path is None:
        return []
    from htrun.analysis.ftrace.formats import parse_formats

    try:
        return parse_formats(path.read_text(encoding="utf-8", errors="replace"), str(path))
    except OSError as error:
        raise HtrunError(f"cannot read {path}: {error.strerror}") from error


def add_filter(parser: argparse.ArgumentParser) -> None:
    """The options that say which events are wanted."""
    group = parser.add_argument_group("which events")
    group.add_argument("--from", dest="begin", metavar="TIME", help="at this time or later, see below")
    group.add_argument("--to", dest="end", metavar="TIME", help="before this time")
    group.add_argument(
        "--thread", action="append", default=[], metavar="THREAD", help="of the thread with this id or name; repeatable"
    )
    group.add_argument(
        "--process", action="append", default=[], type=int, metavar="PID", help="of this process; repeatable"
    )
    group.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="PATTERN",
        help="with a name that matches, such as 'io*'; repeatable",
    )
    group.add_argument("--where", metavar="EXPR", help="that satisfy a condition, see below")


FILTER_HELP = """\
A TIME counts from the first event (1.5, 20ms, 300us) or is a time of day or date (14:05:00.25, 2026-01-31T14:05,
@SECONDS since 1970). An EXPR is a comparison in Python's syntax: arg1 == 0xcafe and (arg2 > 5 or size in (1, 2)).
It may use the fields of print --json, the arguments of named events, and time, the seconds since the first event. For
system calls, syscall is the name of the call and error the name of its error ("" or, for example, "ENOENT").
"""


def filter_of(arguments: argparse.Namespace, trace: Trace) -> Filter:
    """What the options of `add_filter` say. Raises `HtrunError`."""
    from htrun.analysis.expressions import Expression
    from htrun.analysis.filters import Filter, field_names, thread_numbers, unknown_events
    from htrun.events.window import EVERYTHING, Window

    window = Window(
        EVERYTHING.begin if arguments.begin is None else moment(arguments.begin, trace.duration),
        EVERYTHING.end if arguments.end is None else moment(arguments.end, trace.duration),
        thread_numbers(trace, arguments.thread, arguments.process),
    )
    if window.begin >= window.end:
        raise HtrunError(f"--from {arguments.begin or 0} is not before --to {arguments.end}")
    for name in unknown_events(trace, arguments.event):
        warn(f"{trace.path} has no event {name!r}; hypertrace info lists those that came")
    where = None if arguments.where is None else Expression.parse(arguments.where, field_names(trace))
    return Filter(window, tuple(arguments.event), where)


def moment(text: str, duration: tuple[int, int] | None) -> int:
    """The TIME ``text`` of a trace with this ``duration``, in ns since the epoch. Raises `HtrunError`."""
    begin = duration[0] if duration is not None else 0
    if match := _OFFSET.fullmatch(text):
        unit = _UNITS[match[3] or "s"]
        return begin + int(match[1]) * unit + int((match[2] or "").ljust(9, "0")) * unit // 10**9
    if match := _EPOCH.fullmatch(text):
        return int(match[1]) * 10**9 + int((match[2] or "").ljust(9, "0"))
    try:
        if ":" in text and "-" not in text:
            # A time of day is of the day on which the trace begins.
            text = f"{datetime.fromtimestamp(begin // 10**9).date().isoformat()}T{text}"
        told = datetime.fromisoformat(text).astimezone()
        return (int(told.replace(microsecond=0).timestamp()) * 10**6 + told.microsecond) * _NS_PER_US
    except (ValueError, OverflowError, OSError):
        raise HtrunError(
            f"{text!r} is not a time; write 1.5, 20ms, 14:05:00.25, 2026-01-31T14:05 or @SECONDS"
        ) from None
