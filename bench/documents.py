"""Puts the tables and the plot of a report into the documents, between two markers.

What an event costs goes into the README; all the rest, and which goals were reached, into the page on benchmarks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.groups import COST
from bench.results import Report, Verdict
from bench.tables import figure, markdown
from htrun.errors import HtrunError

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def update_readme(readme: Path, report: Report, plot: str) -> None:
    """Put what an event costs into ``readme``. ``plot``: the picture's path as the README must name it.

    Raises `HtrunError` when the markers are not there exactly once and in order.
    """
    tables = markdown(replace(report, groups=tuple(group for group in report.groups if group.name == COST.name)))
    _replace(readme, f"{_measured(report)}\n\n![What an event costs]({plot})\n\n{tables}")


def update_page(page: Path, report: Report) -> None:
    """Put every other table, and the goals, into ``page``. Raises `HtrunError` as `update_readme` does."""
    others = replace(report, groups=tuple(group for group in report.groups if group.name != COST.name))
    _replace(page, f"{_measured(report)}\n\n{markdown(others)}\n{_goals(report.verdicts)}")


def _replace(document: Path, text: str) -> None:
    whole = document.read_text()
    if whole.count(BEGIN) != 1 or whole.count(END) != 1 or whole.index(BEGIN) > whole.index(END):
        raise HtrunError(f"{document}: the markers {BEGIN} and {END} must stand there once each, in this order")
    before, rest = whole.split(BEGIN)
    _, after = rest.split(END)
    document.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


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
