"""Figures for other programs: the forms in which a verb gives them, and where they go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.reports.output import show, write_or_show

if TYPE_CHECKING:
    import argparse

FORMS = ("json", "csv", "markdown", "pyperf")


def add_exports(parser: argparse.ArgumentParser, forms: Iterable[str] = FORMS) -> argparse._ArgumentGroup:
    """An option for each of ``forms``, in a group that is returned for more of the kind."""
    group = parser.add_argument_group("output")
    for name in forms:
        group.add_argument(
            f"--{name}", metavar="FILE", help=f"also write {name}; - writes it to standard output instead of the report"
        )
    return group


def refuse_all_but(forms: Collection[str], arguments: argparse.Namespace, why: str) -> None:
    """Raise `HtrunError`, which says ``why``, if one is wanted that there can't be: to be asked before a long run."""
    for name in FORMS:
        if getattr(arguments, name, None) is not None and name not in forms:
            raise HtrunError(f"--{name} {why}")


def export(
    forms: Mapping[str, Callable[[], str]], arguments: argparse.Namespace, text: Callable[[], Iterable[str]]
) -> None:
    """Write what is asked for, and show ``text`` unless a form goes to standard output. Raises `HtrunError`."""
    targets = {name: getattr(arguments, name, None) for name in forms}
    for name, target in targets.items():
        if target is not None:
            write_or_show(target, forms[name]())
    if "-" not in targets.values():
        show("".join(text()))


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lines of comma-separated values; None is an empty one."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> str:
    """A table for a document or a comment on a change. ``right``: which columns are aligned to the right."""
    rule = ["---:" if to_right else "---" for to_right in right]
    lines = [head, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
