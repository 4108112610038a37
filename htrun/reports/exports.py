"""Writes figures for other programs, in the formats that a command offers. Contains the parts that the formats
share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from htrun.reports.output import show, write_or_show


def export(
    forms: Mapping[str, Callable[[], str]], targets: Mapping[str, str], text: Callable[[], Iterable[str]]
) -> None:
    """Write those of ``forms`` that have a target. A target is a file, or ``-`` for standard output.

    ``text`` is printed on standard output, unless a form is written there. Raises `HtrunError`.
    """
    for name, target in targets.items():
        write_or_show(target, forms[name]())
    if "-" not in targets.values():
        show("".join(text()))


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lines of comma-separated values. None becomes an empty field."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> str:
    """A table for a document or a review comment. ``right``: for each column, whether it is aligned to the right."""
    rule = ["---:" if to_right else "---" for to_right in right]
    lines = [head, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
