"""``hypertrace compare``: shows what has become slower from one set of runs to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.analysis.timing.whole_program import WholeProgram
from htrun.commands.completion import complete_file
from htrun.commands.export_arguments import add_exports
from htrun.commands.input_files import input_path
from htrun.commands.timing_arguments import add_choice, add_undisturbed, span_query_of
from htrun.commands.verdict_arguments import add_verdicts, print_comparison, verdicts_of
from htrun.errors import HtrunError
from htrun.reports.comparison import FORMS, Side
from htrun.reports.runs import TimedRun, must_have_spans, traces_in
from htrun.reports.sides import compare_sides

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from htrun.analysis.timing.query import SpanQuery
    from htrun.events.named import NamedEvents
    from htrun.reports.saved_runs import SavedRuns
    from htrun.reports.single_runs import RunOfSpans


class CompareCommand:
    """Compare the spans of two sets of runs: faster, slower or the same."""

    examples = """
Each of A and B is a trace, a directory with one trace for each run (as created by bench -o), or the JSON of stat or
bench. A directory or JSON of bench --vs contains both A and B. If a side consists of several of these, write --vs
between those of A and those of B. The ratio is the geometric mean of B's medians, divided by the geometric mean of A's
medians. p is the probability of such a difference, or a larger one, if A and B are the same. It is computed by a
permutation test, which exchanges runs between A and B; runs of bench --vs only within the blocks in which their order
was random. The verdict is slower or faster if p, corrected for the number
of names, is at most 0.05, and the ratio differs from 1 by at least the threshold. The 95% interval then excludes 1. A
verdict needs at least 4 runs on each side. Two single traces are shown side by side, without a verdict, since they do
not show how much runs differ.

examples:
  hypertrace compare before after
  hypertrace compare runs/a runs/b --fail-on +5%
  hypertrace compare runs/a runs/b --fail-on +5% --or-inconclusive
  hypertrace compare before.json after.json
  hypertrace compare both.json --fail-on +5%
  hypertrace compare monday/* --vs tuesday/*
  hypertrace compare runs/a runs/b --span 'decode*' --threshold 2% --json - | jq .spans
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: A, B, the selection of spans, and the limits at which the command fails."""
        complete_file(
            parser.add_argument(
                "runs",
                nargs="+",
                type=Path,
                metavar="RUNS",
                help="A and B: each is a trace, a directory of traces, or the JSON of stat or bench (- for standard "
                "input). Only A if it is a directory (-o) or JSON of bench --vs. With --vs, all runs of A",
            )
        )
        complete_file(parser.add_argument("--vs", nargs="+", type=Path, metavar="RUNS", help="all runs of B"))
        complete_file(
            parser.add_argument(
                "--events",
                type=input_path,
                metavar="FILE",
                help="name events by this TOML file instead of the names in the traces",
            )
        )
        add_choice(parser)
        add_undisturbed(parser)
        add_verdicts(parser)
        add_exports(parser, FORMS)

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the comparison. Returns 0, or 3 if --fail-on applies. Raises `HtrunError`."""
        # Imported here, since --help does not need it and it imports numpy.
        from htrun.events.named import NamedEvents
        from htrun.reports.saved_runs import SavedRuns, is_saved

        wanted, verdicts = span_query_of(arguments), verdicts_of(arguments)
        if arguments.vs is None and len(arguments.runs) == 1 and is_saved(arguments.runs[0]):
            _refuse_choices(arguments)
            both = SavedRuns.read_both(arguments.runs[0], wanted.patterns)
            sides, paths = [_Side.of(each) for each in both], (arguments.runs, arguments.runs)
        else:
            one, other = paths = _paths(arguments)
            if all(is_saved(path) for path in (*one, *other)):
                _refuse_choices(arguments)
            names = None if arguments.events is None else NamedEvents.load(arguments.events)
            sides = [_Side.read(each, wanted, names) for each in paths]
        wholes = [side.whole for side in sides if side.whole is not None]
        if len(wholes) < len(sides):
            for side, own in zip(sides, paths, strict=True):
                must_have_spans(side.runs, ", ".join(map(str, own)))
        report = compare_sides(
            [side.runs for side in sides],
            [Side(side.name, side.whole) for side in sides] if len(wholes) == len(sides) else (),
            threshold=verdicts.threshold,
            difference=verdicts.difference,
        )
        return print_comparison(report, verdicts, arguments)


@dataclass(frozen=True)
class _Side:
    """One side of the comparison. ``whole``: the runs of the program without htrun, if all documents of this side have
    them."""

    name: str
    runs: Sequence[RunOfSpans]
    whole: WholeProgram | None

    @classmethod
    def of(cls, saved: SavedRuns) -> _Side:
        """The side of one document."""
        return cls(saved.source, saved.runs, saved.whole)

    @classmethod
    def read(cls, paths: Sequence[Path], wanted: SpanQuery, names: NamedEvents | None) -> _Side:
        """Read all of ``paths``. Raises `HtrunError`."""
        from htrun.reports.saved_runs import SavedRuns, is_saved

        runs: list[RunOfSpans] = []
        wholes: list[WholeProgram | None] = []
        sources = []
        for path in paths:
            if is_saved(path):
                saved = SavedRuns.read(path, wanted.patterns)
                runs += saved.runs
                wholes.append(saved.whole)
                sources.append(saved.source)
            else:
                runs += [TimedRun.read(each, wanted, names) for each in traces_in(path)]
                wholes.append(None)
                sources.append(str(path))
        usages = [usage for whole in wholes if whole is not None for usage in whole.usages]
        return cls(", ".join(dict.fromkeys(sources)), runs, None if None in wholes else WholeProgram(usages))


def _paths(arguments: argparse.Namespace) -> tuple[Sequence[Path], Sequence[Path]]:
    """The paths of each side. Raises `HtrunError`."""
    match arguments.runs, arguments.vs:
        case [directory], None:
            first, second = _both_in(directory)
            sides: tuple[Sequence[Path], Sequence[Path]] = [first], [second]
        case [first, second], None:
            sides = [first], [second]
        case _, None:
            raise HtrunError(
                f"{len(arguments.runs)} paths are given: write --vs between the paths of A and the paths of B"
            )
        case one, other:
            sides = one, other
    for side in sides:
        real = [path.resolve() for path in side]
        for path, place in zip(side, real, strict=True):
            if real.count(place) > 1:
                raise HtrunError(f"{path} is given twice on one side")
    return sides


def _refuse_choices(arguments: argparse.Namespace) -> None:
    """Raise `HtrunError` if an option selects events, since saved figures contain no events."""
    given = {"--between": arguments.between, "--intervals": arguments.intervals, "--by": arguments.by}
    for option, value in (given | {"--all": arguments.all, "--undisturbed": arguments.undisturbed}).items():
        if value:
            raise HtrunError(
                f"{option}: JSON contains figures, not events; use this option of hypertrace stat or bench"
            )


def _both_in(directory: Path) -> tuple[Path, Path]:
    """The two sides of a bench in ``directory``. Raises `HtrunError` unless both exist."""
    one, other = sides = directory / "a", directory / "b"
    if not one.is_dir() or not other.is_dir():
        raise HtrunError(
            f"{directory} does not contain two sides (a and b, as bench --vs -o writes them): name the other side"
        )
    return sides
