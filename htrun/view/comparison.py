"""Two traces side by side: for each name of spans the figures of both and their histograms, on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.analysis.timing.comparison import Run

    Durations = Mapping[str, NDArray[np.float64]]
    """Sorted, in ns, by the name of the spans."""

_THRESHOLD = 0.01
"""Of a ratio: a smaller difference is none."""
_BINS = 64
_ALONE = 9
"""Bins around durations that are all the same."""
_WIDE = 30
"""A scale of powers is for durations of which the longest is more than so many times the shortest."""


def comparison_of(
    titles: tuple[str, str], durations: tuple[Durations, Durations], remarks: Sequence[str] = ()
) -> dict[str, Any]:
    """What the page shows of two traces, called ``titles``, for JSON. ``remarks``: what makes the comparison doubtful.

    The verdicts are those of ``hypertrace compare`` for durations as they are, with its usual threshold.
    """
    import numpy as np

    from htrun.analysis.timing.comparison import compare

    one, other = durations
    runs = [{name: [_run(values)] for name, values in side.items()} for side in durations]
    judged = {each.name: each for each in compare(runs[0], runs[1], _THRESHOLD)}
    rows = []
    for name in dict.fromkeys([*one, *other]):
        both = [one.get(name, np.empty(0)), other.get(name, np.empty(0))]
        found = judged.get(name)
        ratio = found.ratio if found is not None else None
        rows.append(
            {
                "name": name,
                "counts": [len(each) for each in both],
                "medians": [float(np.median(each)) if len(each) else None for each in both],
                "ratio": ratio.value if ratio is not None else None,
                "interval": [ratio.low, ratio.high] if ratio is not None else None,
                "verdict": found.verdict.value if found is not None else "only in A" if len(both[0]) else "only in B",
                "histogram": _histogram(both),
            }
        )
    return {"a": titles[0], "b": titles[1], "remarks": list(remarks), "rows": rows}


def _run(values: NDArray[np.float64]) -> Run:
    from htrun.analysis.timing.comparison import Run
    from htrun.analysis.timing.distribution import Distribution
    from htrun.analysis.timing.inference import median_interval

    distribution = Distribution.of(values)
    return Run(median_interval(distribution), distribution)


def _histogram(both: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Counts of both in the same bins: of one width, or each so many times as wide as the one before."""
    import numpy as np

    together = np.concatenate(both)
    low, high = float(together.min()), float(together.max())
    logarithmic = low > 0 and high / low > _WIDE
    if low == high:
        # As the page has it: one bar in the middle, a fiftieth of the value wide.
        edges = low + (np.arange(_ALONE + 1) - _ALONE / 2) * max(low / 50, 1.0)
    else:
        edges = np.geomspace(low, high, _BINS + 1) if logarithmic else np.linspace(low, high, _BINS + 1)
        # What rounding has made of the ends must leave no value out.
        edges[0], edges[-1] = low, high
    counts = [np.histogram(each, edges)[0].tolist() for each in both]
    return {"edges": edges.tolist(), "logarithmic": logarithmic, "counts": counts}
