"""Arguments that several verbs share: the trace, names of events, and the selection of events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from htrun.commands.completion import complete_directory, complete_file
from htrun.commands.input_files import input_path
from htrun.errors import HtrunError
from htrun.reports.output import warn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from htrun.analysis.filters import Filter
    from htrun.analysis.ftrace.formats import EventFormat
    from htrun.analysis.trace import Trace
    from htrun.analysis.window_query import WindowQuery


def add_trace(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add TRACE, and the options that determine how it is read. ``optional``: whether TRACE may be omitted."""
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
            type=input_path,
            metavar="FILE",
            help="name events by this TOML file instead of the names in the trace",
        )
    )
    complete_file(
        parser.add_argument(
            "--guest-formats",
            type=input_path,
            metavar="FILE",
            help="formats that the guest's kernel has not sent: its files events/*/*/format, concatenated",
        )
    )
    parser.add_argument(
        "--no-guest-trace",
        action="store_true",
        help="do not decode the trace of a guest's kernel, but show the pieces in which it arrived",
    )


def open_trace(arguments: argparse.Namespace, *, guest: bool = True) -> Trace:
    """Open the trace that the arguments of `add_trace` name. Damage is reported on standard error.

    ``guest``: whether the trace of a guest's kernel is decoded, unless the user has disabled this. Raises `HtrunError`.
    """
    from htrun.analysis.trace import Trace
    from htrun.events.named import NamedEvents

    names = NamedEvents.load(arguments.events) if arguments.events is not None else None
    return Trace.open(
        arguments.trace,
        names,
        _once(warn),
        _guest_formats(arguments.guest_formats) if guest and not arguments.no_guest_trace else None,
    )


def _once(report: Callable[[str], None]) -> Callable[[str], None]:
    """A function that calls ``report`` only once for each message. Some verbs read a trace several times, and find the
    same damage each time."""
    seen: set[str] = set()

    def report_new(message: str) -> None:
        if message not in seen:
            seen.add(message)
            report(message)

    return report_new


def _guest_formats(path: Path | None) -> list[EventFormat]:
    if path is None:
        return []
    from htrun.analysis.ftrace.formats import parse_formats

    try:
        return parse_formats(path.read_text(encoding="utf-8", errors="replace"), str(path))
    except OSError as error:
        raise HtrunError(f"cannot read {path}: {error.strerror}") from error


def event_id(text: str) -> int:
    """The id of an event or of a span, which the user has given as ``text``. Raises `ValueError`."""
    number = int(text)
    if not 0 < number < 1 << 62:
        raise ValueError(text)
    return number


def add_filter(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options that select events. Returns the group of these options, to which other options can be added."""
    group = parser.add_argument_group("which events")
    group.add_argument("--from", dest="begin", metavar="TIME", help="events at this time or later (see below)")
    group.add_argument("--to", dest="end", metavar="TIME", help="events before this time")
    group.add_argument(
        "--thread",
        action="append",
        default=[],
        metavar="THREAD",
        help="events of the thread with this id or name; repeatable",
    )
    group.add_argument(
        "--process", action="append", default=[], type=int, metavar="PID", help="events of this process; repeatable"
    )
    group.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="PATTERN",
        help="events with a matching name, such as 'io*'; repeatable",
    )
    group.add_argument("--where", metavar="EXPR", help="events that satisfy this condition (see below)")
    return group


FILTER_HELP = """\
A TIME is relative to the first event (1.5, 20ms, 300us), or it is a time of day or a date (14:05:00.25,
2026-01-31T14:05, @SECONDS since 1970). An EXPR is a condition in Python's syntax: arg1 == 0xcafe and (arg2 > 5 or size
in (1, 2)). It can use the fields of print --json, the arguments of named events, and time, which is the number of
seconds since the first event. For system calls, syscall is the name of the call, and error is the name of its error (""
or, for example, "ENOENT").
"""


def window_query_of(arguments: argparse.Namespace) -> WindowQuery:
    """The times and threads that the user has selected with --from, --to, --thread and --process."""
    from htrun.analysis.window_query import WindowQuery

    return WindowQuery(arguments.begin, arguments.end, tuple(arguments.thread), tuple(arguments.process))


def filter_of(arguments: argparse.Namespace, trace: Trace) -> Filter:
    """The filter that the user has given with the options of `add_filter`. Raises `HtrunError`."""
    from htrun.analysis.expressions import Expression
    from htrun.analysis.filters import Filter, field_names, unknown_events

    window = window_query_of(arguments).window(trace)
    if window.begin >= window.end:
        raise HtrunError(f"--from {arguments.begin or 0} is not before --to {arguments.end}")
    for name in unknown_events(trace, arguments.event):
        warn(f"{trace.path} has no event {name!r}; hypertrace info lists the events in it")
    where = None if arguments.where is None else Expression.parse(arguments.where, field_names(trace))
    return Filter(window, tuple(arguments.event), where)
