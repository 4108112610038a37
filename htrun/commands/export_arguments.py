"""Arguments of verbs that can also write their figures for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.errors import HtrunError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable

FORMS = ("json", "csv", "markdown", "pyperf")


def add_exports(parser: argparse.ArgumentParser, forms: Iterable[str] = FORMS) -> argparse._ArgumentGroup:
    """Add an option for each form in ``forms``. Returns the group of these options, to which other options can be
    added."""
    group = parser.add_argument_group("output")
    for name in forms:
        group.add_argument(
            f"--{name}",
            f"--export-{name}",
            metavar="FILE",
            help=f"also write {name} to FILE; with -, write it to standard output instead of the report",
        )
    return group


def refuse_all_but(forms: Collection[str], arguments: argparse.Namespace, why: str) -> None:
    """Raise `HtrunError` with the reason ``why`` if a form that is not in ``forms`` is requested. Call this function
    before a long run."""
    for name in FORMS:
        if getattr(arguments, name, None) is not None and name not in forms:
            raise HtrunError(f"--{name} {why}")


def targets_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The files that the user has named with the options of `add_exports`, by form, in the order of `FORMS`."""
    return {name: target for name in FORMS if (target := getattr(arguments, name, None)) is not None}
