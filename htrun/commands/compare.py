"""``hypertrace compare``: what got slower from one set of runs to another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.analysis.timing.whole_program import PROGRAM
from htrun.commands.completion import complete_directory, complete_file
from htrun.commands.runs import (
    NOT_CORRECTED,
    TimedRun,
    by_name,
    can_be_corrected,
    differing,
    must_have_spans,
    traces_in,
)
from htrun.commands.timing_arguments import Wanted, add_choice
from htrun.errors import HtrunError
from htrun.reports.comparison import FORMS, ComparisonReport, Side, forms, text
from htrun.reports.exports import add_exports, export
from htrun.reports.output import warn
from htrun.reports.table import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from htrun.analysis.timing.comparison import Comparison

FAILED = 3
"""The exit code when --fail-on found what it looks for."""
_PERCENT = re.compile(r"([+-]?)(\d{1,6}(?:\.\d{1,6})?)%?")


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
        wanted = Wanted.of(arguments)
        sides = [
            [TimedRun.read(path, wanted, arguments.events) for path in traces_in(side)]
            for side in (arguments.one, arguments.other)
        ]
        for side, path in zip(sides, (arguments.one, arguments.other), strict=True):
            must_have_spans(side, str(path))
        return tell_comparison(sides, arguments)


def add_verdicts(parser: argparse.ArgumentParser) -> None:
    """When a difference counts."""
    group = parser.add_argument_group("verdicts")
    group.add_argument(
        "--threshold", default="1%", metavar="PERCENT", help="treat a smaller difference as none (default: 1%%)"
    )
    group.add_argument(
        "--fail-on",
        metavar="+PERCENT",
        help=f"exit with {FAILED} if a span is slower by at least that much, with certainty (-PERCENT: faster)",
    )


def tell_comparison(
    sides: Sequence[Sequence[TimedRun]], arguments: argparse.Namespace, run_now: Sequence[Side] = ()
) -> int:
    """Compare the runs of two ``sides`` and tell it as ``arguments`` of `add_verdicts` say; the exit code. ``run_now``:
    the two commands; where both were run without htrun as well, these runs are compared too."""
    from htrun.analysis.timing.comparison import compare

    threshold = abs(percent("--threshold", arguments.threshold))
    limit = None if arguments.fail_on is None else percent("--fail-on", arguments.fail_on)
    corrected = all(can_be_corrected(side) for side in sides)
    one, other = (by_name(side, corrected=corrected) for side in sides)
    wholes = [side.whole.runs for side in run_now if side.whole is not None]
    if len(wholes) == len(sides):
        one, other = ({PROGRAM: whole, **spans} for whole, spans in zip(wholes, (one, other), strict=True))
    comparisons = compare(one, other, threshold)
    remarks = [*_remarks(sides, corrected=corrected), *_singles(comparisons)]
    alone = {"only in A": [name for name in one if name not in other], "only in B": [n for n in other if n not in one]}
    if not comparisons:
        raise HtrunError(f"A and B have no spans of one name: {', '.join(one)}; {', '.join(other)}")
    for line in remarks:
        warn(line)
    program = next((each for each in comparisons if each.name == PROGRAM), None)
    spans = [each for each in comparisons if each is not program]
    report = ComparisonReport(spans, alone, remarks, corrected, run_now, program)
    export(forms(report), arguments, lambda: text(report))
    return FAILED if limit is not None and any(fails(each, limit) for each in comparisons) else 0


def percent(option: str, text: str) -> float:
    """The share that ``text``, such as +5%, stands for. Raises `HtrunError`."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise HtrunError(f"{option} {text}: not a number of percent, such as +5%")
    return float(match[2]) / 100 * (-1 if match[1] == "-" else 1)


def fails(comparison: Comparison, limit: float) -> bool:
    """Whether a difference is certain, and as great as ``limit``: slower, or, below 0, faster."""
    from htrun.analysis.timing.comparison import Verdict

    ratio = comparison.ratio
    if ratio is None:
        return False
    if limit < 0:
        return comparison.verdict is Verdict.FASTER and ratio.value <= 1 + limit
    return comparison.verdict is Verdict.SLOWER and ratio.value >= 1 + limit


def _remarks(sides: Sequence[Sequence[TimedRun]], *, corrected: bool) -> Iterator[str]:
    """What makes the comparison doubtful."""
    from htrun.analysis.timing.doubts import differences, doubts

    one, other = sides
    for line in differences(one[0].facts, other[0].facts):
        yield f"A and B: {line}"
    for name, side in zip("AB", sides, strict=True):
        yield from (f"the runs of {name}: {line}" for line in differing(side))
        if lost := sum(run.lost for run in side):
            yield f"{name}: {lost:,} events were lost; spans across a loss are not counted"
    yield from dict.fromkeys(line for side in sides for run in side for line in doubts(run.facts) if "busy" not in line)
    if not corrected:
        yield NOT_CORRECTED
    if min(len(one), len(other)) == 1:
        yield "one run says nothing of how runs differ; give several of each (hypertrace bench --runs)"


def _singles(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Of which names there is too little to compare."""
    for each in comparisons:
        for side, count, runs in zip("AB", each.counts, each.runs, strict=True):
            if count == 1 and runs == 1:
                yield f"{side} has one sample only of {printable(each.name)}: its spread is unknown"
