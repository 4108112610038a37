"""``hypertrace compare``: what got slower from one set of runs to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from htrun.commands.completion import complete_directory, complete_file
from htrun.commands.export_arguments import add_exports
from htrun.commands.timing_arguments import add_choice, span_query_of
from htrun.commands.verdict_arguments import add_verdicts, print_comparison, verdicts_of
from htrun.reports.comparison import FORMS
from htrun.reports.runs import TimedRun, must_have_spans, traces_in
from htrun.reports.sides import compare_sides

if TYPE_CHECKING:
    import argparse


class CompareCommand:
    """Compare the spans of two traces, or of two directories of traces: faster, slower or the same."""

    examples = """
The ratio is the median of B divided by the median of A. A verdict requires that the 95% interval of the ratio excludes
1, that the Mann-Whitney test (corrected for the number of names) rejects equality, and that the difference exceeds the
threshold. With several runs on each side, the interval includes the variation between runs.

examples:
  hypertrace compare before after
  hypertrace compare runs/a runs/b --fail-on +5%
  hypertrace compare before after --span 'decode*' --threshold 2% --json - | jq .spans
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """A, B, what is timed, and when to fail."""
        complete_directory(parser.add_argument("one", type=Path, metavar="A", help="a trace, or a directory of traces"))
        complete_directory(parser.add_argument("other", type=Path, metavar="B", help="what A is compared with"))
        complete_file(
            parser.add_argument(
                "--events",
                type=Path,
                metavar="FILE",
                help="name events by this TOML file instead of the names in the traces",
            )
        )
        add_choice(parser)
        add_verdicts(parser)
        add_exports(parser, FORMS)

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the comparison; 0, or 3 if --fail-on says so. Raises `HtrunError`."""
        wanted, verdicts = span_query_of(arguments), verdicts_of(arguments)
        sides = [
            [TimedRun.read(path, wanted, arguments.events) for path in traces_in(side)]
            for side in (arguments.one, arguments.other)
        ]
        for side, path in zip(sides, (arguments.one, arguments.other), strict=True):
            must_have_spans(side, str(path))
        return print_comparison(compare_sides(sides, verdicts.threshold), verdicts, arguments)
