"""Arguments of verbs that compare: when a difference counts, and when it makes the verb fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from htrun.commands.export_arguments import targets_of
from htrun.errors import HtrunError
from htrun.reports.comparison import forms, text
from htrun.reports.exports import export
from htrun.reports.output import warn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from htrun.analysis.timing.comparison import Comparison
    from htrun.reports.comparison import ComparisonReport

FAILED = 3
"""The exit code when --fail-on found what it looks for."""
_PERCENT = re.compile(r"([+-]?)(\d{1,6}(?:\.\d{1,6})?)%?")


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


class Verdicts(NamedTuple):
    """``threshold``: the share below which a difference is none. ``limit``: the share by which a span must be slower
    (below 0: faster) for the verb to fail; None if it never does."""

    threshold: float
    limit: float | None

    def exit_code(self, comparisons: Iterable[Comparison]) -> int:
        """`FAILED` if the difference of any is certain and as great as the limit, else 0."""
        failed = self.limit is not None and any(_fails(each, self.limit) for each in comparisons)
        return FAILED if failed else 0


def verdicts_of(arguments: argparse.Namespace) -> Verdicts:
    """What ``arguments`` of `add_verdicts` say. Raises `HtrunError`."""
    limit = None if arguments.fail_on is None else _percent("--fail-on", arguments.fail_on)
    return Verdicts(abs(_percent("--threshold", arguments.threshold)), limit)


def print_comparison(report: ComparisonReport, verdicts: Verdicts, arguments: argparse.Namespace) -> int:
    """Print ``report``, or write what ``arguments`` of `add_exports` ask for; the exit code. Warnings go to standard
    error. Raises `HtrunError`."""
    for line in report.remarks:
        warn(line)
    export(forms(report), targets_of(arguments), lambda: text(report))
    return verdicts.exit_code(report.lines)


def _percent(option: str, text: str) -> float:
    """The share that ``text``, such as +5%, stands for. Raises `HtrunError`."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise HtrunError(f"{option} {text}: not a number of percent, such as +5%")
    return float(match[2]) / 100 * (-1 if match[1] == "-" else 1)


def _fails(comparison: Comparison, limit: float) -> bool:
    from htrun.analysis.timing.comparison import Verdict

    ratio = comparison.ratio
    if ratio is None:
        return False
    if limit < 0:
        return comparison.verdict is Verdict.FASTER and ratio.value <= 1 + limit
    return comparison.verdict is Verdict.SLOWER and ratio.value >= 1 + limit
