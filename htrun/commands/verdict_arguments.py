"""Arguments of verbs that compare: which differences count, and at which difference the verb fails."""

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
"""The exit code if a difference reaches the limit of --fail-on."""
_PERCENT = re.compile(r"([+-]?)(\d{1,6}(?:\.\d{1,6})?)%?")


def add_verdicts(parser: argparse.ArgumentParser) -> None:
    """Add the options that determine which differences count."""
    group = parser.add_argument_group("verdicts")
    group.add_argument(
        "--threshold", default="1%", metavar="PERCENT", help="ignore differences smaller than this (default: 1%%)"
    )
    group.add_argument(
        "--fail-on",
        metavar="+PERCENT",
        help=f"exit with status {FAILED} if a span is slower by this much or more (-PERCENT: faster)",
    )
    group.add_argument(
        "--or-inconclusive",
        action="store_true",
        help="with --fail-on: also exit with this status if a change of this size cannot be excluded",
    )


class Verdicts(NamedTuple):
    """The limits for differences. ``threshold``: a smaller difference, as a share, does not count.

    ``limit``: the verb fails if a span is slower by at least this share (if negative: faster); None if the verb never
    fails. ``unless_ruled_out``: whether the verb also fails if a difference of this size cannot be ruled out.
    """

    threshold: float
    limit: float | None
    unless_ruled_out: bool = False

    @property
    def difference(self) -> float:
        """The difference that matters to the user. Reports give the number of runs that are needed to detect it."""
        from htrun.analysis.timing.comparison import DIFFERENCE

        return DIFFERENCE if not self.limit else self.limit

    def exit_code(self, comparisons: Iterable[Comparison]) -> int:
        """The exit code of the verb. It is `FAILED` if a comparison shows a difference that reaches the limit, or if
        `unless_ruled_out` is set and a comparison does not rule out such a difference. Otherwise it is 0."""
        if self.limit is None:
            return 0
        fails = _may_fail if self.unless_ruled_out else _fails
        return FAILED if any(fails(each, self.limit) for each in comparisons) else 0


def verdicts_of(arguments: argparse.Namespace) -> Verdicts:
    """The limits that the user has given with the options of `add_verdicts`. Raises `HtrunError`."""
    limit = None if arguments.fail_on is None else _percent("--fail-on", arguments.fail_on)
    if limit is None and arguments.or_inconclusive:
        raise HtrunError("--or-inconclusive needs --fail-on, which gives the size of the change")
    if limit is not None and limit <= -1:
        raise HtrunError(f"--fail-on {arguments.fail_on}: nothing can be faster by 100% or more")
    return Verdicts(abs(_percent("--threshold", arguments.threshold)), limit, arguments.or_inconclusive)


def print_comparison(report: ComparisonReport, verdicts: Verdicts, arguments: argparse.Namespace) -> int:
    """Print ``report``, or write the files of `add_exports`. Returns the exit code. Warnings go to standard error.
    Raises `HtrunError`."""
    for line in report.remarks:
        warn(line)
    export(forms(report), targets_of(arguments), lambda: text(report))
    return verdicts.exit_code(report.lines)


def _percent(option: str, text: str) -> float:
    """The share that ``text`` stands for: 0.05 for +5%. Raises `HtrunError`."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise HtrunError(f"{option} {text}: not a percentage such as +5%")
    return float(match[2]) / 100 * (-1 if match[1] == "-" else 1)


def _fails(comparison: Comparison, limit: float) -> bool:
    from htrun.analysis.timing.comparison import Verdict

    ratio = comparison.ratio
    if ratio is None:
        return False
    if limit < 0:
        return comparison.verdict is Verdict.FASTER and ratio.value <= 1 + limit
    return comparison.verdict is Verdict.SLOWER and ratio.value >= 1 + limit


def _may_fail(comparison: Comparison, limit: float) -> bool:
    ratio = comparison.ratio
    if ratio is None:
        return True
    return ratio.low <= 1 + limit if limit < 0 else ratio.high >= 1 + limit
