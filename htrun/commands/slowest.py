"""``hypertrace slowest``: shows the longest spans of a trace, and the reasons for their durations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from htrun.commands.export_arguments import add_exports, targets_of
from htrun.commands.timing_arguments import add_window
from htrun.commands.trace_arguments import add_trace, open_trace, window_query_of
from htrun.errors import HtrunError
from htrun.reports.exports import export

if TYPE_CHECKING:
    import argparse


class SlowestCommand:
    """Show the slowest spans, the spans within them, and the spans of other threads at the same time."""

    examples = """
For each span, slowest prints the duration relative to the median of its name, the spans within it, and the longest gaps
between these. For each gap, it prints the overlapping spans of other threads. If the thread waited for a lock, one of
these spans belongs to the thread that held the lock. It lasts for nearly all of the wait, and ends shortly before
the waiting thread continues.
Overlapping spans of the same name are not printed, since those threads wait for the same lock. With a key, a span may
begin in one thread and end in another. Such a span contains spans of the first thread until that thread's next span of
this name begins, and spans of the last thread after that thread's previous span of this name has ended.

A number after # is the id of a span, which is the id of its first event. hypertrace print --id, stat --id and view --at
accept such ids.

examples:
  hypertrace slowest trace
  hypertrace slowest trace request -n 1 --warm
  hypertrace slowest trace 'io*' --from 1.5 --to 2 --json -
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE, the selection of spans, and the form of the report."""
        add_trace(parser)
        parser.add_argument("name", nargs="?", metavar="NAME", help="only spans with a matching name, such as 'io*'")
        parser.add_argument(
            "-n",
            "--lines",
            type=int,
            default=10,
            metavar="N",
            help="the number of spans to show (default: %(default)s)",
            dest="most",
        )
        parser.add_argument(
            "--warm",
            action="store_true",
            help="leave out spans in which an event trapped because it was the first of its call site or of its thread",
        )
        add_window(parser)
        add_exports(parser, ("json", "csv", "markdown"))

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the report; returns 0. Raises `HtrunError`, for example if no span is selected."""
        from htrun.analysis.slowest import find_slowest
        from htrun.analysis.timing.query import SpanQuery
        from htrun.reports.missing_spans import no_spans
        from htrun.reports.runs import events_with_progress
        from htrun.reports.slowest import SlowReport, as_csv, as_json, as_markdown, text

        if arguments.most < 1:
            raise HtrunError(f"--lines {arguments.most}: must be at least 1")
        trace = open_trace(arguments)
        patterns = () if arguments.name is None else (arguments.name,)
        wanted = SpanQuery(patterns, warm=arguments.warm, window=window_query_of(arguments))
        found = find_slowest(trace, events_with_progress(trace), wanted, arguments.most)
        if not found.spans:
            raise HtrunError(f"{trace.path} {no_spans(trace, found.unpaired, need_names=True)}")
        report = SlowReport(trace, found)
        forms = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
        export(
            {name: partial(form, report) for name, form in forms.items()}, targets_of(arguments), partial(text, report)
        )
        return 0
