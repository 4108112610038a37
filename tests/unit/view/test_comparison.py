"""The comparison of two traces."""

from __future__ import annotations

import numpy as np
import pytest

from htrun.analysis.timing.clock_step import ClockStep
from htrun.analysis.timing.distribution import Distribution
from htrun.analysis.timing.figures import Figures
from htrun.view.comparison import comparison_of


def runs(**durations: object) -> dict[str, Figures]:
    """A run of spans with these durations, ns, by name."""
    step = ClockStep(1.0, known=True)
    return {name: Figures.of(Distribution.of(values), step) for name, values in durations.items()}


def test_both_are_counted_in_the_same_bins() -> None:
    one = runs(io=[100.0, 110.0, 120.0], alone=[5.0])
    other = runs(io=[110.0, 121.0, 132.0, 133.0], new=[7.0, 7.0])
    shown = comparison_of(("a", "b"), (one, other))
    rows = {row["name"]: row for row in shown["rows"]}
    assert list(rows) == ["io", "alone", "new"]
    assert (rows["io"]["counts"], rows["io"]["medians"]) == ([3, 4], [110.0, 126.5])
    assert rows["io"]["ratio"] == pytest.approx(1.15)
    assert rows["io"]["verdict"] == "no verdict"
    histogram = rows["io"]["histogram"]
    assert (histogram["edges"][0], histogram["edges"][-1], histogram["logarithmic"]) == (100.0, 133.0, False)
    assert [sum(counts) for counts in histogram["counts"]] == [3, 4]
    assert (rows["alone"]["ratio"], rows["alone"]["verdict"]) == (None, "only in A")
    assert (rows["new"]["medians"], rows["new"]["verdict"]) == ([None, 7.0], "only in B")


def test_very_different_durations_get_bins_of_powers() -> None:
    values = np.array([3.0, 50.0, 12345.678, 9e9])
    [row] = comparison_of(("a", "b"), (runs(io=values), runs(io=values)))["rows"]
    edges = row["histogram"]["edges"]
    assert row["histogram"]["logarithmic"]
    assert [sum(counts) for counts in row["histogram"]["counts"]] == [4, 4]
    assert np.allclose(np.diff(np.log(edges)), np.log(3e9) / (len(edges) - 1))


def test_spans_of_no_length() -> None:
    [row] = comparison_of(("a", "b"), (runs(io=np.zeros(3)), runs(io=np.zeros(2))))["rows"]
    assert (row["ratio"], row["histogram"]["counts"]) == (
        None,
        [[0, 0, 0, 0, 3, 0, 0, 0, 0], [0, 0, 0, 0, 2, 0, 0, 0, 0]],
    )


def test_two_traces_have_no_verdict() -> None:
    """This holds for any number of spans."""
    rng = np.random.default_rng(1)
    base = np.sort(rng.normal(1000, 30, 4000))
    shown = comparison_of(("a", "b"), (runs(io=base, same=base), runs(io=base * 1.1, same=base)), ["A and B: x"])
    assert [(row["name"], row["verdict"]) for row in shown["rows"]] == [("io", "no verdict"), ("same", "no verdict")]
    assert shown["remarks"] == ["A and B: x"]
