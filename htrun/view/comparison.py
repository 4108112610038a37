"""Compares two traces: for each name of spans, the figures of both traces, and their histograms with the same scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.analysis.timing.distribution import Distribution
    from htrun.analysis.timing.figures import Figures

    Runs = Mapping[str, Figures]
    """The figures of the spans of a trace, by name."""

_THRESHOLD = 0.01
"""The minimum change: a ratio that differs less from 1 counts as no change."""
_BINS = 64
_ALONE = 9
"""The number of bins if all durations are equal."""
_WIDE = 30
"""If the longest duration exceeds the shortest by more than this factor, the scale is logarithmic."""


def comparison_of(titles: tuple[str, str], runs: tuple[Runs, Runs], remarks: Sequence[str] = ()) -> dict[str, Any]:
    """The data of the comparison for the page, to be stored as JSON. ``titles``: the names of the two traces;
    ``remarks``: the reasons to doubt the comparison.

    A verdict needs more than one trace on each side (`htrun.analysis.timing.comparison`), so there is none.
    """
    from htrun.analysis.timing.comparison import Run, compare

    one, other = runs
    sides = [{name: [Run.of(figures)] for name, figures in side.items()} for side in runs]
    judged = {each.name: each for each in compare(sides[0], sides[1], _THRESHOLD)}
    rows = []
    for name in dict.fromkeys([*one, *other]):
        both = [one.get(name), other.get(name)]
        found = judged.get(name)
        ratio = found.ratio if found is not None else None
        alone = "only in B" if both[0] is None else "only in A"
        rows.append(
            {
                "name": name,
                "counts": [0 if each is None else each.distribution.count for each in both],
                "medians": [None if each is None else each.median.value for each in both],
                "ratio": ratio.value if ratio is not None else None,
                "verdict": found.verdict.value if found is not None else alone,
                "histogram": _histogram([None if each is None else each.distribution for each in both]),
            }
        )
    return {"a": titles[0], "b": titles[1], "remarks": list(remarks), "rows": rows}


def _histogram(both: Sequence[Distribution | None]) -> dict[str, Any]:
    """The counts of both distributions in the same bins, which have equal or logarithmic widths."""
    some = [each.values for each in both if each is not None]
    low, high = float(min(values[0] for values in some)), float(max(values[-1] for values in some))
    logarithmic = low > 0 and high / low > _WIDE
    if low == high:
        # A single bar in the middle, whose width is 1/50 of the value. The script of the page does the same.
        edges = low + (np.arange(_ALONE + 1) - _ALONE / 2) * max(low / 50, 1.0)
    else:
        edges = np.geomspace(low, high, _BINS + 1) if logarithmic else np.linspace(low, high, _BINS + 1)
        # Move the outer edges outwards, so that rounding does not exclude a value.
        edges[0], edges[-1] = low, high
    counts = [
        [0] * (len(edges) - 1)
        if each is None
        else np.histogram(each.values, edges, weights=each.counts)[0].astype(np.int64).tolist()
        for each in both
    ]
    return {"edges": edges.tolist(), "logarithmic": logarithmic, "counts": counts}
