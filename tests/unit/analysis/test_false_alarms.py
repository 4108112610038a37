"""Two equal programs are called different at most once in 20 times, however their spans are distributed.

``HTRUN_VERDICT_TRIALS=1000`` makes so many comparisons of each kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from htrun.analysis.timing.comparison import Run, Verdict, compare
from htrun.analysis.timing.distribution import Distribution
from htrun.analysis.timing.inference import median_interval

TRIALS = int(os.environ.get("HTRUN_VERDICT_TRIALS", "60"))
SPANS = 300

Spans = Callable[[np.random.Generator, float], NDArray[np.float64]]
"""The spans of one run, given the run's own factor."""


def independent(generator: np.random.Generator, factor: float) -> NDArray[np.float64]:
    return np.asarray(factor * generator.normal(1000, 100, SPANS))


def correlated(generator: np.random.Generator, factor: float) -> NDArray[np.float64]:
    """Each span is similar to the one before."""
    noise = lfilter([1], [1, -0.95], generator.normal(0, 30, SPANS + 100))[100:]
    return np.asarray(factor * (1000 + noise))


def drifting(generator: np.random.Generator, factor: float) -> NDArray[np.float64]:
    """Each run gets slower or faster, by up to a tenth."""
    slope = generator.uniform(-100, 100)
    return np.asarray(factor * (1000 + np.linspace(0, slope, SPANS) + generator.normal(0, 30, SPANS)))


def bimodal(generator: np.random.Generator, factor: float) -> NDArray[np.float64]:
    """Two lengths, and occasionally a whole run of the longer ones, as with another memory layout."""
    share = 0.45 if generator.random() < 0.8 else 0.55
    return np.asarray(factor * (np.where(generator.random(SPANS) < share, 1300, 1000) + generator.normal(0, 10, SPANS)))


KINDS: tuple[Spans, ...] = (independent, correlated, drifting, bimodal)


def side(kind: Spans, generator: np.random.Generator, factor: float, runs: int) -> list[Run]:
    """Runs that differ from each other by 2%."""
    spans = [kind(generator, factor * level) for level in generator.normal(1, 0.02, runs)]
    return [Run(median_interval(each), each.count) for each in map(Distribution.of, spans)]


def trial(kind: Spans, generator: np.random.Generator, factor: float, runs: int) -> Verdict:
    baseline, candidate = ({"work": side(kind, generator, each, runs)} for each in (1.0, factor))
    (comparison,) = compare(baseline, candidate, threshold=0.0)
    if comparison.ratio is not None and comparison.probability is not None:
        excludes = not comparison.ratio.low <= 1 <= comparison.ratio.high
        assert excludes == (comparison.probability <= 0.05)
    return comparison.verdict


@pytest.mark.parametrize("runs", [1, 3, 10])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_false_alarm(kind: Spans, runs: int) -> None:
    generator = np.random.default_rng(runs)
    verdicts = [trial(kind, generator, 1.0, runs) for _ in range(TRIALS)]
    alarms = sum(verdict in {Verdict.FASTER, Verdict.SLOWER} for verdict in verdicts)
    # With a probability of 5% each, more than that occur once in 10,000 times.
    assert alarms <= (stats.binom.isf(1e-4, TRIALS, 0.05) if runs > 3 else 0)


def test_ten_runs_find_five_percent() -> None:
    """With runs that differ by 2%."""
    generator = np.random.default_rng(7)
    verdicts = [trial(independent, generator, 1.05, 10) for _ in range(TRIALS)]
    assert verdicts.count(Verdict.SLOWER) >= stats.binom.ppf(1e-4, TRIALS, 0.9)
    assert Verdict.FASTER not in verdicts
