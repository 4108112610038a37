"""``hypertrace compare``: what got slower from one set of runs to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from htrun.commands.completion import complete_directory, complete_file
from htrun.commands.export_arguments import add_exports
from htrun.commands.timing_arguments import add_choice, span_query_of
from htrun.commands.verdict_arguments import add_verdicts, print_comparison, verdicts_of
from htrun.errors import HtrunError
from htrun.reports.comparison import FORMS
from htrun.reports.runs import TimedRun, must_have_spans, traces_in
from htrun.reports.sides import compare_sides

if TYPE_CHECKING:
    import argparse


class CompareCommand:
    """Compare the spans of two sets of runs: faster, slower or the same."""

    examples = """
A and B are directories of traces, one trace for each run, as bench -o leaves them. The ratio is that of the geometric
means of the runs' medians. p is the probability of a ratio at least this different from 1 if A and B are the same: the
share of all ways to exchange runs between A and B that give one (permutation test). The verdict is slower or faster if
p, corrected for the number of names, is at most 0.05 and the ratio exceeds the threshold; the 95% interval then
excludes 1. It takes at least 4 runs of each. Two single traces are shown side by side, without a verdict, since they do
not show how much runs differ.

examples:
  hypertrace compare before after
  hypertrace compare runs/a runs/b --fail-on +5%
  hypertrace compare runs/a runs/b --fail-on +5% --or-inconclusive
  hypertrace compare runs/a runs/b --span 'decode*' --threshold 2% --json - | jq .spans
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: Add the arguments: Add the arguments: A, B, what is timed, and when to fail."""
        complete_directory(parser.add_argument("one", type=Path, metavar="A", help="a trace, or a directory of traces"))
        complete_directory(
            parser.add_argument(
                "other",
                type=Path,
                nargs="?",
                metavar="B",
                help="the trace or directory to compare A with; without it, A is a directory that bench --vs -o made",
            )
        )
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
        """Print the comparison. Returns 0, or 3 if --fail-on says so. Raises `HtrunError`."""
        wanted, verdicts = span_query_of(arguments), verdicts_of(arguments)
        paths = (arguments.one, arguments.other) if arguments.other is not None else _both_in(arguments.one)
        sides = [[TimedRun.read(path, wanted, arguments.events) for path in traces_in(side)] for side in paths]
        for side, path in zip(sides, paths, strict=True):
            must_have_spans(side, str(path))
        report = compare_sides(sides, threshold=verdicts.threshold, difference=verdicts.difference)
        return print_comparison(report, verdicts, arguments)


def _both_in(directory: Path) -> tuple[Path, Path]:
    """The sides of a bench in ``directory``. Raises `HtrunError` if there are not both."""
    one, other = sides = directory / "a", directory / "b"
    if not one.is_dir() or not other.is_dir():
        raise HtrunError(
            f"{directory} holds no two sides, a and b, as bench --vs -o leaves them: name what to compare it with"
        )
    return sides
