"""Which bursts count as undisturbed, and their figures."""

from __future__ import annotations

from bench.disturbance import Undisturbed, best_probe, undisturbed
from bench.outcome import Sample
from tests.unit.bench.fakes import bursts


def test_the_best_probe_is_that_of_the_whole_run() -> None:
    assert best_probe([bursts((10, 0.9), (11, 0.7)), bursts((12, 0.61)), Sample(3)]) == 0.61
    assert best_probe([Sample(3)]) is None


def test_bursts_within_a_few_percent_of_the_best_probe_count() -> None:
    samples = [bursts((10, 1.0), (11, 1.03), (12, 1.04), (99, 1.05)), bursts((13, 1.0), (14, 1.0), (99, 1.6))]
    assert undisturbed(samples, 1.0, emulated=False) == Undisturbed(5, 7, 12)
    assert undisturbed(samples, 1.0, emulated=True) == Undisturbed(6, 7, 12.5)


def test_a_figure_of_too_few_bursts_is_not_given() -> None:
    assert undisturbed([bursts(*[(10, 1.0)] * 4, (10, 2.0))], 1.0, emulated=False) == Undisturbed(4, 5, None)
    assert undisturbed([bursts(*[(10, 1.0)] * 5)], 1.0, emulated=False) == Undisturbed(5, 5, 10)


def test_the_median_is_of_all_rounds_together() -> None:
    """A round in which only two bursts were undisturbed counts as two bursts."""
    samples = [bursts((10, 1.0), (30, 1.0)), bursts(*[(12, 1.0)] * 5)]
    assert undisturbed(samples, 1.0, emulated=False) == Undisturbed(7, 7, 12)
