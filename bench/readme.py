"""Puts the tables and the plot of a report into the README, between two markers."""

from __future__ import annotations

from pathlib import Path

from bench.results import Report
from bench.tables import markdown
from htrun.errors import HtrunError

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def update(readme: Path, report: Report, plot: str) -> None:
    """Replaces what stands between the markers. ``plot``: the picture's path as the README must name it.

    Raises `HtrunError` when the markers are not there exactly once and in order.
    """
    text = readme.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise HtrunError(f"{readme}: the markers {BEGIN} and {END} must stand there once each, in this order")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n{section(report, plot)}{END}{after}")


def section(report: Report, plot: str) -> str:
    """What the README shows: where it was measured, the plot, the tables."""
    machine = report.machine
    place = f"{machine['processor']}, {machine['kernel']}, {machine['distribution']}"
    if machine["virtual machine"] == "yes":
        place += ", a virtual machine"
    measured = f"Measured by `make bench` on {report.when[:10]}: {place}."
    return f"{measured}\n\n![What an event costs]({plot})\n\n{markdown(report)}"
