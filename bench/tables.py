"""Draws a report as tables: on a terminal, and in Markdown for the README."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from bench.model import Group
from bench.results import Report, Result, Status, Verdict
from bench.statistics import spread


@dataclass(frozen=True)
class Grid:
    """A table before it is drawn. The first column is text, the others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figure(value: float | None) -> str:
    """The text of a figure; empty for None. A count has all its digits, any other number three significant digits.
    Thousands are separated by commas."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def grids(report: Report) -> Iterator[Grid]:
    """A table for each group that has measured benches."""
    for group in report.groups:
        results = report.measured(group)
        if results:
            yield _grid(report, group, results)


def first_columns(grid: Grid, count: int) -> Grid:
    """A table with the first ``count`` columns of ``grid``."""
    return replace(grid, columns=grid.columns[:count], rows=tuple(row[:count] for row in grid.rows))


def _grid(report: Report, group: Group, results: list[Result]) -> Grid:
    base = report.baseline(group)
    singles = any(each.p50 is not None for each in results)
    columns = ["", group.unit, "quartiles", *([f"ratio to {group.baseline}"] if base else [])]
    if group.probed:
        columns += [f"{group.unit}, undisturbed", *(["ratio, undisturbed"] if base else []), "undisturbed bursts"]
    columns += ["single event, p50", "single event, p99"] if singles else []
    columns += group.facts
    rows = []
    for each in results:
        low, high = spread(each.values)
        row = [each.title, figure(each.median), f"{figure(low)} to {figure(high)}"]
        row += [figure(each.ratio(base))] if base else []
        row += _undisturbed(each, base) if group.probed else []
        row += [figure(each.p50), figure(each.p99)] if singles else []
        row += [figure(each.samples[-1].facts.get(name)) for name in group.facts]
        rows.append(tuple(row))
    return Grid(group.title, tuple(columns), tuple(rows))


def _undisturbed(result: Result, base: Result | None) -> list[str]:
    found = result.undisturbed
    if found is None:
        return ["", *([""] if base else []), ""]
    value = "too few" if found.value is None else figure(found.value)
    ratio = [figure(result.undisturbed_ratio(base))] if base else []
    return [value, *ratio, f"{found.count:,} of {found.bursts:,}"]


def control_grid(report: Report, groups: Sequence[Group]) -> Grid:
    """A table of groups that have the same benches. It has a row for each group and a column for each bench. A cell
    contains the ratio of the bench to the group's baseline, round by round."""
    found = {group: report.measured(group) for group in groups}
    titles = list(dict.fromkeys(each.title for results in found.values() for each in results))
    rows = []
    for group, results in found.items():
        base, of_title = report.baseline(group), {each.title: each for each in results}
        rows.append((group.title, *(_with_ratio(of_title.get(title), base) for title in titles)))
    unit = ", ".join(dict.fromkeys(group.unit for group in groups))
    return Grid(f"Times in {unit}, and the ratio to the first column", ("", *titles), tuple(rows))


def _with_ratio(result: Result | None, base: Result | None) -> str:
    if result is None:
        return ""
    if base is None or result is base:
        return figure(result.median)
    return f"{figure(result.median)} ({figure(result.ratio(base))})"


def print_report(report: Report, console: Console) -> None:
    """Print all tables, the reasons why benches were not measured, and the goals."""
    for grid in grids(report):
        table = Table(title=grid.title, title_justify="left", title_style="bold")
        for number, column in enumerate(grid.columns):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in grid.rows:
            table.add_row(*row)
        console.print(table)
    for result in report.unmeasured():
        style = "red" if result.status is Status.FAILED else "yellow"
        console.print(f"[{style}]{result.status}[/] {result.name}: ", end="")
        console.print(result.reason, markup=False, highlight=False)
    for verdict in report.verdicts:
        console.print(_verdict(verdict), highlight=False)


def _verdict(verdict: Verdict) -> str:
    of_all = "" if verdict.of_all is None else f" (all bursts: {figure(verdict.of_all)})"
    if verdict.reached is None:
        return f"[yellow]open  [/] {verdict.text}: too few undisturbed bursts{of_all}"
    word = "[green]met   [/]" if verdict.met else "[red]missed[/]"
    return f"{word} {verdict.text}: {figure(verdict.reached)}{of_all}"


def markdown(report: Report) -> str:
    """The tables in Markdown."""
    return "\n".join(markdown_table(grid) for grid in grids(report))


def markdown_table(grid: Grid) -> str:
    """One table in Markdown."""
    lines = [f"**{grid.title}**", ""]
    lines.append(f"| {' | '.join(grid.columns)} |")
    lines.append(f"|{'|'.join(['---', *['---:'] * (len(grid.columns) - 1)])}|")
    lines += [f"| {' | '.join(row)} |" for row in grid.rows]
    return "\n".join(lines) + "\n"
