"""Arguments of verbs that report durations: the selection of spans, their groups, and the form of the report."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from htrun.commands.export_arguments import add_exports, targets_of
from htrun.commands.trace_arguments import window_query_of
from htrun.errors import HtrunError
from htrun.reports.exports import export
from htrun.reports.output import warn
from htrun.reports.timing import Report, as_csv, as_json, as_markdown, as_pyperf, text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from htrun.analysis.timing.query import SpanQuery

_FORMS: dict[str, Callable[[Report], str]] = {
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
    "pyperf": as_pyperf,
}


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the durations to report: spans, intervals or a region."""
    group = parser.add_argument_group("what is timed")
    group.add_argument(
        "--span", action="append", default=[], metavar="PATTERN", help="only spans with a matching name; repeatable"
    )
    group.add_argument(
        "--between",
        nargs=2,
        metavar=("A", "B"),
        help="instead of spans, measure the time from each event A to the next event B of the thread. A and B are "
        "NAME, NAME:begin, NAME:end or a value of arg1",
    )
    group.add_argument(
        "--intervals",
        action="store_true",
        help="instead of spans, measure the time from each event to the thread's next event of the same name",
    )
    group.add_argument(
        "--by",
        metavar="WHAT",
        help="report groups separately, by thread, process, vcpu, an argument (arg2) or a named argument",
    )
    group.add_argument(
        "--all",
        action="store_true",
        help="include spans in which an event trapped because it was the first of its call site or of its thread",
    )


def add_undisturbed(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves out spans that were disturbed."""
    parser.add_argument(
        "--undisturbed",
        action="store_true",
        help="leave out spans during which the thread was preempted, waited or was moved to another processor, or that "
        "contain page faults or trapped events. A trace must have been recorded with htrun --sched; bench does so",
    )


def add_window(parser: argparse.ArgumentParser) -> None:
    """Add the options that select spans by time, thread and process."""
    group = parser.add_argument_group("which spans")
    group.add_argument(
        "--from", dest="begin", metavar="TIME", help="spans that begin at this time or later (1.5, 20ms, 14:05:00)"
    )
    group.add_argument("--to", dest="end", metavar="TIME", help="spans that begin before this time")
    group.add_argument(
        "--thread", action="append", default=[], metavar="THREAD", help="spans of this thread; repeatable"
    )
    group.add_argument(
        "--process", action="append", default=[], type=int, metavar="PID", help="spans of this process; repeatable"
    )


def add_report_form(parser: argparse.ArgumentParser) -> None:
    """Add the options for the form of a report."""
    add_exports(parser).add_argument("--no-histograms", action="store_true", help="print only tables")


def output_report(report: Report, arguments: argparse.Namespace) -> None:
    """Print ``report``, or write the requested files. Warnings go to standard error. Raises `HtrunError`."""
    for line in report.warnings:
        warn(line)
    forms = {name: partial(form, report) for name, form in _FORMS.items()}
    export(forms, targets_of(arguments), lambda: text(report, histograms=not arguments.no_histograms))


def span_query_of(arguments: argparse.Namespace) -> SpanQuery:
    """The spans that the user has selected with the options of `add_choice` and, if present, of `add_window`. Raises
    `HtrunError` if the options contradict each other."""
    from htrun.analysis.timing.query import SpanQuery
    from htrun.analysis.window_query import UNLIMITED

    between = None if arguments.between is None else (arguments.between[0], arguments.between[1])
    if between is not None and arguments.intervals:
        raise HtrunError("--between and --intervals: give one of them")
    window = window_query_of(arguments) if hasattr(arguments, "begin") else UNLIMITED
    return SpanQuery(
        tuple(arguments.span),
        between,
        arguments.intervals,
        arguments.by,
        with_trapped=arguments.all,
        window=window,
        undisturbed=getattr(arguments, "undisturbed", False),
    )
