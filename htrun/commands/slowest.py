"""``hypertrace slowest``: the longest spans of a trace, and why they took so long."""

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
    """Show the slowest spans, what they consist of, and what other threads did meanwhile."""

    examples = """
For each span: how much longer it took than the median of its name, the spans within it, and the longest pieces of its
time in which none of these ran, with the spans of other threads that overlap with them. If the thread waited for a
lock, the thread that held it is among these: its span covers the wait, and ends shortly before it does. Other spans of
the same name are left out, since they wait for the same thing. A span that one thread begins and another ends (by a
key)
consists of what the first did until it began the next, and of what the last did since it had ended the one before.

A number after # is the id of a span, which is that of its first event. hypertrace print --id, stat --id and view --at
take it.

examples:
  hypertrace slowest trace
  hypertrace slowest trace request -n 1 --warm
  hypertrace slowest trace 'io*' --from 1.5 --to 2 --json -
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """TRACE, which spans, and how they are reported."""
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
        """Print them; 0. Raises `HtrunError`, also if there are no such spans."""
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
