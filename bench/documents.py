"""Writes the tables and the plot of a report to the documents, between two markers.

The README gets a few rows about the cost of an event. All tables and the goals are written to the page on benchmarks.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from bench.groups import COST, TRACED
from bench.results import Report, Verdict
from bench.tables import control_grid, figure, first_columns, grids, markdown, markdown_table
from htrun.errors import HtrunError

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


TRACED_BEGIN, TRACED_END = "<!-- traced:begin -->", "<!-- traced:end -->"
_IN_README = ("floor", "htrun-native", "htrun-qemu-x86_64", "htrun-system-x86_64", "lttng-ust", "uprobe")
"""The benches in the table of the README. The ratios are to the first of them."""
_README_COLUMNS = 4
_WIDTH = 120
_TRACED_NAMES = {group.name for group in TRACED.values()}


def update(readme: Path, page: Path, report: Report, plot: str) -> None:
    """Write the results to the documents.

    A report may contain all benches, or only the cost of tracing for a program. Raises `HtrunError` like the functions
    below.
    """
    names = {group.name for group in report.groups}
    if names & _TRACED_NAMES:
        update_traced(page, report)
    if names - _TRACED_NAMES:
        update_readme(readme, report, plot)
        update_page(page, report)


def update_readme(readme: Path, report: Report, plot: str, shown: Collection[str] = _IN_README) -> None:
    """Write the cost of an event to ``readme``, as a picture and as a table of the benches ``shown``. ``plot``: the
    path of the picture, relative to the README.

    Raises `HtrunError` unless the document contains each marker exactly once, in order.
    """
    cost = tuple(group for group in report.groups if group.name == COST.name)
    results = tuple(result for result in report.results if result.name in shown)
    tables = [first_columns(grid, _README_COLUMNS) for grid in grids(replace(report, groups=cost, results=results))]
    table = "".join(map(markdown_table, tables))
    _replace(readme, f"{_measured(report)}\n\n![What an event costs]({plot})\n\n{table}")


def update_page(page: Path, report: Report) -> None:
    """Write the goals and all tables, except the table of `update_traced`, to ``page``. Raises `HtrunError` like
    `update_readme`."""
    others = replace(report, groups=tuple(group for group in report.groups if group.name not in _TRACED_NAMES))
    _replace(page, f"{_measured(report)}\n\n{markdown(others)}\n{_goals(report.verdicts)}")


def update_traced(page: Path, report: Report) -> None:
    """Write the cost of tracing for a program to ``page``, as one table. Raises `HtrunError` like `update_readme`."""
    groups = [group for group in report.groups if group.name in _TRACED_NAMES]
    _replace(page, f"{_measured(report)}\n\n{markdown_table(control_grid(report, groups))}", TRACED_BEGIN, TRACED_END)


def _replace(document: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    whole = document.read_text()
    if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(begin) > whole.index(end):
        raise HtrunError(f"{document}: the markers {begin} and {end} must each appear exactly once, in this order")
    before, rest = whole.split(begin)
    _, after = rest.split(end)
    document.write_text(f"{before}{begin}\n{text}{end}{after}")


def _measured(report: Report) -> str:
    machine = report.machine
    place = f"{machine['processor']}, {machine['kernel']}, {machine['distribution']}"
    if machine["virtual machine"] == "yes":
        place += ", a virtual machine"
    return textwrap.fill(f"Measured by `make bench` on {report.when[:10]}: {place}.", _WIDTH, break_on_hyphens=False)


def _goals(verdicts: tuple[Verdict, ...]) -> str:
    lines = ["**Goals**", "", "| goal | result | result, all bursts | verdict |", "|---|---:|---:|---|"]
    for verdict in verdicts:
        words = (verdict.text, figure(verdict.reached), figure(verdict.of_all), "met" if verdict.met else "missed")
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines) + "\n"
