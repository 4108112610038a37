"""Compares the runs of two sides, A and B."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.analysis.timing.whole_program import PROGRAM
from htrun.errors import HtrunError
from htrun.reports.comparison import ComparisonReport, Side
from htrun.reports.runs import NOT_CORRECTED, by_name, can_be_corrected, differing
from htrun.reports.table import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from htrun.analysis.timing.comparison import Comparison, Run
    from htrun.reports.single_runs import RunOfSpans


def compare_sides(
    sides: Sequence[Sequence[RunOfSpans]],
    run_now: Sequence[Side] = (),
    *,
    threshold: float,
    difference: float,
    looks: int = 1,
    seed: int | None = None,
) -> ComparisonReport:
    """Compare the runs of two ``sides`` with `htrun.analysis.timing.comparison.compare`.

    ``run_now``: the two sides, if their commands were just run. If both commands were also run without htrun, those
    runs are also compared. ``seed``: the seed of the random order in which they were run. Raises `HtrunError`.
    """
    from htrun.analysis.timing.comparison import compare, geometric_mean

    corrected = all(can_be_corrected(side) for side in sides)
    one, other = (by_name(side, corrected=corrected) for side in sides)
    wholes = [side.whole.runs for side in run_now if side.whole is not None]
    if len(wholes) == len(sides):
        one, other = ({PROGRAM: whole, **spans} for whole, spans in zip(wholes, (one, other), strict=True))
    comparisons = compare(one, other, threshold, difference=difference, looks=looks)
    remarks = [*_remarks(sides, corrected=corrected), *_few(comparisons, one, other, looks)]
    alone = {"only in A": [name for name in one if name not in other], "only in B": [n for n in other if n not in one]}
    if not comparisons:
        raise HtrunError(f"A and B have no spans with the same name: {', '.join(one)}; {', '.join(other)}")
    program = next((each for each in comparisons if each.name == PROGRAM), None)
    spans = [each for each in comparisons if each is not program]
    mean = geometric_mean(*({name: runs for name, runs in side.items() if name != PROGRAM} for side in (one, other)))
    return ComparisonReport(spans, alone, remarks, corrected, run_now, program, mean, sides, seed)


def _remarks(sides: Sequence[Sequence[RunOfSpans]], *, corrected: bool) -> Iterator[str]:
    """The reasons to doubt the comparison."""
    from htrun.analysis.timing.doubts import differences, doubts

    one, other = sides
    for line in differences(one[0].facts, other[0].facts):
        yield f"A and B: {line}"
    for name, side in zip("AB", sides, strict=True):
        yield from (f"the runs of {name}: {line}" for line in differing(side))
        if lost := sum(run.lost for run in side):
            yield f"{name}: {lost:,} events were lost; spans across a loss are not counted"
    yield from dict.fromkeys(line for side in sides for run in side for line in doubts(run.facts) if "busy" not in line)
    if not corrected:
        yield NOT_CORRECTED


def _few(
    comparisons: Sequence[Comparison],
    one: Mapping[str, Sequence[Run]],
    other: Mapping[str, Sequence[Run]],
    looks: int,
) -> Iterator[str]:
    """Remarks on names with too few spans or runs for a comparison."""
    from htrun.analysis.timing.comparison import fewest

    rarest = min(comparisons, key=lambda each: min(each.runs), default=None)
    if rarest is None:
        return
    runs, tries = min(rarest.runs), len(comparisons) * looks
    least = fewest(one[rarest.name], other[rarest.name], tries) if runs > 1 else None
    if runs == 1:
        yield "no verdict: one run does not show how much runs differ; give several (hypertrace bench --runs)"
    elif least is not None:
        names = f"{len(comparisons)} names" if len(comparisons) > 1 else "one name"
        yield f"{runs} runs are too few for a verdict on {names}: give at least {least} of each"
    for each in comparisons:
        for side, count, of_side in zip("AB", each.counts, each.runs, strict=True):
            if count == 1 and of_side == 1:
                yield f"{side} has one sample only of {printable(each.name)}: its spread is unknown"
