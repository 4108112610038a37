"""Reports on a comparison of two sides, as text and for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from htrun.reports.exports import csv_text, markdown_table
from htrun.reports.single_runs import side_as_json
from htrun.reports.table import printable, table
from htrun.reports.timing import whole_as_json, whole_line
from htrun.reports.units import nanoseconds

if TYPE_CHECKING:
    from htrun.analysis.timing.comparison import Comparison, Needed, Ratio
    from htrun.analysis.timing.whole_program import WholeProgram
    from htrun.reports.single_runs import RunOfSpans

VERSION = 1
"""The version of the JSON."""
_LONG = 1_000_000
_HEAD = ("span", "A", "B", "ratio", "95%", "p", "runs", "verdict")
_RIGHT = (False, True, True, True, True, True, True, False)
_CSV = (
    *("name", "a_median_ns", "a_runs", "a_count", "b_median_ns", "b_runs", "b_count"),
    *("ratio", "ratio_low", "ratio_high", "probability", "verdict"),
)


@dataclass(frozen=True)
class Side:
    """A side whose command was just run. ``whole``: the runs of the program without htrun, if there are any."""

    command: str
    whole: WholeProgram | None


@dataclass(frozen=True)
class ComparisonReport:
    """The contents of a report.

    ``comparisons``: the comparisons of spans.
    ``alone``: for each side, the names that only this side has.
    ``remarks``: the reasons to doubt the comparison.
    ``corrected``: whether durations are corrected for the cost of events.
    ``sides``: A and B, if their commands were just run.
    ``program``: the comparison of the runs without htrun, if there are any.
    ``mean``: the geometric mean of the ratios of all spans; None if a run lacks a span.
    ``runs``: the runs of A and of B.
    ``seed``: the seed of the random order of these runs, if they were just made.
    """

    comparisons: Sequence[Comparison]
    alone: Mapping[str, Sequence[str]]
    remarks: Sequence[str]
    corrected: bool
    sides: Sequence[Side] = ()
    program: Comparison | None = None
    mean: Ratio | None = None
    runs: Sequence[Sequence[RunOfSpans]] = ()
    seed: int | None = None

    @property
    def is_decided(self) -> bool:
        """Whether all verdicts are final, so that more runs cannot change them."""
        from htrun.analysis.timing.comparison import Verdict

        open_verdicts = {Verdict.INCONCLUSIVE, Verdict.NONE}
        return not any(each.verdict in open_verdicts and each.ratio is not None for each in self.lines)

    @property
    def lines(self) -> list[Comparison]:
        """The comparisons that have a line in a table."""
        return [*([] if self.program is None else [self.program]), *self.comparisons]


def forms(report: ComparisonReport) -> dict[str, Callable[[], str]]:
    """The formats for other programs."""
    return {name: partial(form, report) for name, form in FORMS.items()}


def text(report: ComparisonReport) -> Iterator[str]:
    """The report as readable text."""
    for name, side in zip("AB", report.sides, strict=False):
        yield f"{name}: {side.command}\n"
        if side.whole is not None:
            yield f"   {whole_line(side.whole)}\n"
    if report.seed is not None:
        yield f"{_order(report.seed)}\n"
    if report.sides:
        yield "\n"
    yield f"{_heading(report)}\n\n"
    yield from table(_HEAD, [_cells(each) for each in report.lines], _RIGHT)
    yield from (f"\n{line}\n" for line in _below(report))


def _as_json(report: ComparisonReport) -> str:
    sides = {
        name: {"command": side.command, "whole_program": whole_as_json(side.whole)}
        for name, side in zip("ab", report.sides, strict=False)
    }
    document = {
        "version": VERSION,
        "corrected": report.corrected,
        "warnings": list(report.remarks),
        **sides,
        **({} if report.seed is None else {"seed": report.seed}),
        "whole_program": None if report.program is None else _span(report.program),
        "geometric_mean": ratio_as_json(report.mean),
        "spans": [_span(each) for each in report.comparisons],
        **{what.replace(" ", "_").lower(): list(names) for what, names in report.alone.items()},
        "runs": {name: side_as_json(runs) for name, runs in zip("ab", report.runs, strict=False)},
    }
    return json.dumps(document, indent=2) + "\n"


def _as_csv(report: ComparisonReport) -> str:
    rows = []
    for each in report.lines:
        ratio = ratio_cells(each.ratio)
        sides = zip(each.medians, each.runs, each.counts, strict=True)
        rows.append([each.name, *(value for side in sides for value in side), *ratio, each.probability])
        rows[-1].append(each.verdict.value)
    return csv_text(_CSV, rows)


def _as_markdown(report: ComparisonReport) -> str:
    spans = markdown_table(_HEAD, [_cells(each) for each in report.lines], _RIGHT)
    commands = [f"{name}: `{side.command}`\n\n" for name, side in zip("AB", report.sides, strict=False)]
    if report.seed is not None:
        commands.append(f"{_order(report.seed)}\n\n")
    below = [f"\n{line}\n" for line in [*_below(report), *report.remarks]]
    return "".join([*commands, f"{_heading(report)}\n\n", spans, *below])


FORMS: dict[str, Callable[[ComparisonReport], str]] = {
    "json": _as_json,
    "csv": _as_csv,
    "markdown": _as_markdown,
}


def _order(seed: int) -> str:
    return f"in random order (--seed {seed})"


def _heading(report: ComparisonReport) -> str:
    several = any(max(each.runs) > 1 for each in report.lines)
    if not report.comparisons:
        return "geometric means of the runs' wall times" if several else "wall times"
    medians = "geometric means of the runs' medians" if several else "medians"
    return f"{medians}, {'corrected for the cost of events' if report.corrected else 'raw'}"


def _cells(each: Comparison) -> list[str]:
    ratio = [_times(each.ratio.value), _range(each.ratio)] if each.ratio is not None else ["-", "-"]
    probability = "-" if each.probability is None else f"{each.probability:.2g}"
    runs = f"{each.runs[0]}, {each.runs[1]}"
    medians = [nanoseconds(median) for median in each.medians]
    return [printable(each.name), *medians, *ratio, probability, runs, each.verdict.value]


def _below(report: ComparisonReport) -> Iterator[str]:
    """The notes below the table."""
    mean = report.mean
    if mean is not None and len(report.comparisons) > 1:
        interval = f" ({_range(mean)})" if mean.is_bounded else ""
        yield f"geometric mean of the ratios: {_times(mean.value)}{interval}"
    for what, names in report.alone.items():
        if names:
            yield f"{what}: {', '.join(map(printable, names))}"
    yield from _undecided(report.lines)


def _undecided(lines: Sequence[Comparison]) -> Iterator[str]:
    """For each comparison without a clear verdict, the number of runs that would show a change."""
    from htrun.analysis.timing.comparison import Verdict
    from htrun.analysis.timing.power import GUESSED_SPREAD

    for each in lines:
        needed = each.needed
        if needed is None or each.verdict not in {Verdict.INCONCLUSIVE, Verdict.NONE}:
            continue
        change = f"{100 * needed.difference:.3g}%"
        enough = f"{needed.runs:,} runs of each would show a change of {change} in 9 of 10 cases"
        condition = f", if runs differ by {GUESSED_SPREAD:.0%}" if needed.guessed else ""
        yield f"{printable(each.name)}: {enough}{condition}"


def _range(ratio: Ratio) -> str:
    if not ratio.is_bounded:
        return "-"
    return f"{_times(ratio.low)} to {_times(ratio.high)}"


def _times(ratio: float) -> str:
    """The text of a ratio.

    If a few spans differ widely, the end of an interval may have hundreds of digits.
    """
    return f"{ratio:.3f}" if ratio == 0 or 0.001 <= ratio < _LONG else f"{ratio:.1e}"


def _span(each: Comparison) -> dict[str, Any]:
    sides = zip("ab", each.medians, each.runs, each.counts, strict=True)
    return {
        "name": each.name,
        **{side: {"median": median, "runs": runs, "count": count} for side, median, runs, count in sides},
        "ratio": ratio_as_json(each.ratio),
        "probability": each.probability,
        "verdict": each.verdict.value,
        "needed": _needed(each.needed),
    }


def _needed(needed: Needed | None) -> dict[str, Any] | None:
    if needed is None:
        return None
    return {"runs": needed.runs, "difference": needed.difference, "spread_assumed": needed.guessed}


def ratio_as_json(ratio: Ratio | None) -> dict[str, float | None] | None:
    """The ratio for JSON. The ends of the interval are null if there are too few runs for an interval."""
    if ratio is None:
        return None
    value, low, high = ratio_cells(ratio)
    return {"value": value, "low": low, "high": high}


def ratio_cells(ratio: Ratio | None) -> list[float | None]:
    """The ratio and the ends of its interval; None for unknown values."""
    if ratio is None:
        return [None] * 3
    return [ratio.value, ratio.low, ratio.high] if ratio.is_bounded else [ratio.value, None, None]
