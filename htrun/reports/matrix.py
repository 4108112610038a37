"""Reports on a matrix of benchmarks. Each cell is compared with the cell of the first emulator of its program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from htrun.analysis.timing.whole_program import PROGRAM
from htrun.reports.comparison import ratio_as_json, ratio_cells
from htrun.reports.exports import csv_text, markdown_table
from htrun.reports.single_runs import OF_RUNS, run_as_json, side_as_json
from htrun.reports.table import table
from htrun.reports.timing import figures_of
from htrun.reports.units import nanoseconds

if TYPE_CHECKING:
    from htrun.analysis.timing.comparison import Comparison, Run, Verdict
    from htrun.analysis.timing.figures import Figures
    from htrun.reports.single_runs import RunOfSpans
    from htrun.reports.timing import Row

VERSION = 1
"""The version of the JSON."""
_HEAD = ("program", "emulator", "span", "count", "median", "ratio", "verdict")
_RIGHT = (False, False, False, True, True, True, False)
_CSV = ("program", "emulator", "name", "count", "median_ns", "ratio", "ratio_low", "ratio_high", "verdict")


@dataclass(frozen=True)
class CellReport:
    """One cell: a program on an emulator.

    ``comparisons``: for each span, the comparison with the first emulator; empty for the first emulator itself.
    ``centers``: for each span, the geometric mean of the runs' medians. Ratios are ratios of these values.
    ``against``: the name of the first emulator.
    ``runs``: the single runs. ``whole``: the runs of the program without htrun.
    """

    program: str
    emulator: str
    command: str
    rows: Sequence[Row]
    comparisons: Mapping[str, Comparison]
    centers: Mapping[str, float]
    against: str
    corrected: bool
    runs: Sequence[RunOfSpans]
    whole: Sequence[Run] = ()

    def figures(self, row: Row) -> Figures:
        """The figures that are compared."""
        return (row.timing.corrected if self.corrected else None) or row.timing.raw


def forms(cells: Sequence[CellReport]) -> dict[str, Callable[[], str]]:
    """The formats for other programs."""
    return {name: partial(form, cells) for name, form in FORMS.items()}


def text(cells: Sequence[CellReport]) -> Iterator[str]:
    """The report as readable text."""
    yield from table(_HEAD, list(_lines(cells)), _RIGHT)


def _lines(cells: Sequence[CellReport]) -> Iterator[list[str]]:
    for cell in cells:
        for row in cell.rows:
            found = cell.comparisons.get(row.title)
            ratio = "" if found is None or found.ratio is None else f"{found.ratio.value:.2f}x"
            verdict = "" if found is None else _in_words(found.verdict, cell.against)
            median = nanoseconds(cell.centers[row.title])
            yield [cell.program, cell.emulator, row.title, f"{row.timing.count:,}", median, ratio, verdict]


def _in_words(verdict: Verdict, against: str) -> str:
    from htrun.analysis.timing.comparison import Verdict

    match verdict:
        case Verdict.INCONCLUSIVE | Verdict.NONE:
            return str(verdict.value)
        case Verdict.SAME:
            return f"{verdict.value} as {against}"
        case Verdict.FASTER | Verdict.SLOWER:
            return f"{verdict.value} than {against}"


def _as_json(cells: Sequence[CellReport]) -> str:
    document = {"version": VERSION, "cells": [_cell(cell) for cell in cells]}
    return json.dumps(document, indent=2) + "\n"


def _cell(cell: CellReport) -> dict[str, Any]:
    side = side_as_json(cell.runs)
    singles = {span["name"]: span[OF_RUNS] for span in side.pop("spans")}
    # A whole program's time contains no event whose cost could be subtracted.
    singles[PROGRAM] = [run_as_json(number, run, run) for number, run in enumerate(cell.whole, 1)]
    return {
        "program": cell.program,
        "emulator": cell.emulator,
        "command": cell.command,
        "corrected": cell.corrected,
        **side,
        "spans": [
            {
                "name": row.title,
                "count": row.timing.count,
                "center": cell.centers[row.title],
                **figures_of(cell.figures(row)),
                "against": _against(cell, cell.comparisons.get(row.title)),
                OF_RUNS: singles[row.title],
            }
            for row in cell.rows
        ],
    }


def _against(cell: CellReport, found: Comparison | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "emulator": cell.against,
        "ratio": ratio_as_json(found.ratio),
        "probability": found.probability,
        "verdict": found.verdict.value,
    }


def _as_csv(cells: Sequence[CellReport]) -> str:
    rows: list[list[object]] = []
    for cell in cells:
        for row in cell.rows:
            found = cell.comparisons.get(row.title)
            ratio = None if found is None else found.ratio
            ratios = ratio_cells(ratio)
            median = cell.centers[row.title]
            verdict = None if found is None else found.verdict.value
            rows.append([cell.program, cell.emulator, row.title, row.timing.count, median, *ratios, verdict])
    return csv_text(_CSV, rows)


def _as_markdown(cells: Sequence[CellReport]) -> str:
    return markdown_table(_HEAD, _lines(cells), _RIGHT)


FORMS: dict[str, Callable[[Sequence[CellReport]], str]] = {
    "json": _as_json,
    "csv": _as_csv,
    "markdown": _as_markdown,
}
