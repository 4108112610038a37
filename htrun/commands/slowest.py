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
    """Show the slowest spans, the spans within them, and the spans of other threads meanwhile."""

    examples = """
For each span, slowest prints its duration relative to the median of its name, the spans within it, and the longest
pieces of its time in which none of these ran. For each piece it prints the spans of other threads that overlap with
it. If the thread waited for a lock, one of them belongs to the thread that held the lock: this span covers the wait
and ends shortly before the wait ends. Other spans of the same name are left out, since they wait for the same lock.
If one thread begins a span and another thread ends it (by a key), the span contains the first thread's spans up to
the start of that thread's next span of this name, and the last thread's spans from the end of that thread's previous
span of this name on.

A number after # is the id of a span, which is the id of its first event. hypertrace print --id, stat --id and view
--at accept it.

examples:
  hypertrace slowest trace
  hypertrace slowest trace request -n 1 --warm
  hypertrace slowest trace 'io*' --from 1.5 --to 2 --json -
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE, the selection of spans, and the form of the report."""
        add_trace(parser)
        parser.add_argument("name", nargs="?", metavar="NAME", help="only spans whose name matches, such as 'io*'")
        parser.add_argument(
            "-n", "--lines", type=int, default=10, metavar="N", help="how many (default: %(default)s)", dest="most"
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
