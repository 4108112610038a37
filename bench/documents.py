"""Writes the tables and the plot of a report to the documents, between two markers.

The cost of an event is written to the README. The other tables and the goals are written to the page on benchmarks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.groups import COST, TRACED
from bench.results import Report, Verdict
from bench.tables import control_grid, figure, markdown, markdown_table
from htrun.errors import HtrunError

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


TRACED_BEGIN, TRACED_END = "<!-- traced:begin -->", "<!-- traced:end -->"
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


def update_readme(readme: Path, report: Report, plot: str) -> None:
    """Write the cost of an event to ``readme``. ``plot``: the path of the plot, relative to the README.

    Raises `HtrunError` unless the document contains each marker exactly once, in order.
    """
    tables = markdown(replace(report, groups=tuple(group for group in report.groups if group.name == COST.name)))
    _replace(readme, f"{_measured(report)}\n\n![What an event costs]({plot})\n\n{tables}")


def update_page(page: Path, report: Report) -> None:
    """Write all other tables, and the goals, to ``page``. Raises `HtrunError` like `update_readme`."""
    elsewhere = _TRACED_NAMES | {COST.name}
    others = replace(report, groups=tuple(group for group in report.groups if group.name not in elsewhere))
    _replace(page, f"{_measured(report)}\n\n{markdown(others)}\n{_goals(report.verdicts)}")


def update_traced(page: Path, report: Report) -> None:
    """Write the cost of tracing for a program to ``page``, as one table. Raises `HtrunError` like `update_readme`."""
    groups = [group for group in report.groups if group.name in _TRACED_NAMES]
    _replace(page, f"{_measured(report)}\n\n{markdown_table(control_grid(report, groups))}", TRACED_BEGIN, TRACED_END)


def _replace(document: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    whole = document.read_text()
    if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(begin) > whole.index(end):
        raise HtrunError(f"{document}: the markers {begin} and {end} must stand there once each, in this order")
    before, rest = whole.split(begin)
    _, after = rest.split(end)
    document.write_text(f"{before}{begin}\n{text}{end}{after}")


def _measured(report: Report) -> str:
    machine = report.machine
    place = f"{machine['processor']}, {machine['kernel']}, {machine['distribution']}"
    if machine["virtual machine"] == "yes":
        place += ", a virtual machine"
    return f"Measured by `make bench` on {report.when[:10]}: {place}."


def _goals(verdicts: tuple[Verdict, ...]) -> str:
    lines = ["**Goals**", "", "| goal | reached | of all bursts | |", "|---|---:|---:|---|"]
    for verdict in verdicts:
        words = (verdict.text, figure(verdict.reached), figure(verdict.of_all), "met" if verdict.met else "missed")
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines) + "\n"
