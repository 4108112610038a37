"""Two equal programs are reported as different at most once in 20 times, for any distribution of their spans.

``HTRUN_VERDICT_TRIALS=1000`` makes 1,000 comparisons of each kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from htrun.analysis.timing.clock_step import ClockStep
from htrun.analysis.timing.comparison import Comparison, Run, Verdict, compare
from htrun.analysis.timing.distribution import Distribution
from htrun.analysis.timing.figures import Figures
from htrun.analysis.timing.inference import Interval
from htrun.analysis.timing.run_order import RunOrder
from tests.support.verdicts import alarms, in_random_order, most_alarms, verdict_of

TRIALS = int(os.environ.get("HTRUN_VERDICT_TRIALS", "60"))
SPANS = 300
STEP = ClockStep(1.0, known=True)
POOL = 500
"""The number of runs of each kind from which sets are drawn."""

Spans = Callable[[np.random.Generator, float], NDArray[np.float64]]
"""The spans of one run, given the run's own factor."""


def independent(generator: np.random.Generator, factor: float) -> NDArray[np.float64]:
    return np.asarray(factor * generator.normal(1000, 100, SPANS))


def correlated(generator: np.random.Generator, factor: float) -> NDArray[np.float64]:
    """Each span is similar to the one before."""
    noise = lfilter([1], [1, -0.95], generator.normal(0, 30, SPANS + 100))[100:]
    return np.asarray(factor * (1000 + noise))


def drifting(generator: np.random.Generator, factor: float) -> NDArray[np.float64]:
    """The spans become slower or faster during the run, by up to 10%."""
    slope = generator.uniform(-100, 100)
    return np.asarray(factor * (1000 + np.linspace(0, slope, SPANS) + generator.normal(0, 30, SPANS)))


def bimodal(generator: np.random.Generator, factor: float) -> NDArray[np.float64]:
    """Spans of two lengths, and occasionally a run with only the longer ones, as with another memory layout."""
    share = 0.45 if generator.random() < 0.8 else 0.55
    return np.asarray(factor * (np.where(generator.random(SPANS) < share, 1300, 1000) + generator.normal(0, 10, SPANS)))


KINDS: tuple[Spans, ...] = (independent, correlated, drifting, bimodal)


def side(kind: Spans, generator: np.random.Generator, factor: float, runs: int) -> list[Run]:
    """Runs that differ from each other by 2%."""
    spans = [kind(generator, factor * level) for level in generator.normal(1, 0.02, runs)]
    return [Run.of(Figures.of(Distribution.of(each), STEP)) for each in spans]


def trial(kind: Spans, generator: np.random.Generator, factor: float, runs: int) -> Verdict:
    baseline, candidate = (side(kind, generator, each, runs) for each in (1.0, factor))
    return verdict_of(baseline, candidate)


@pytest.mark.parametrize("runs", [1, 3, 10])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_false_alarm(kind: Spans, runs: int) -> None:
    generator = np.random.default_rng(runs)
    verdicts = [trial(kind, generator, 1.0, runs) for _ in range(TRIALS)]
    assert alarms(verdicts) <= most_alarms(TRIALS, runs, 1e-4)


@pytest.mark.parametrize("pilot", [2, 3, 7])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_runs_that_are_told_to_be_needed_find_five_percent(kind: Spans, pilot: int) -> None:
    """In 90% of all cases, with the number that ``pilot`` runs of each side lead to. Sets of runs are drawn from many.

    The permutation test of many runs takes long; its verdict hardly differs from that of Student's test.
    """
    generator = np.random.default_rng(pilot)
    sides = [side(kind, generator, factor, POOL) for factor in (1.0, 1.05)]
    logarithms = [np.log([run.median.value for run in runs]) for runs in sides]
    found = 0
    for _ in range(TRIALS):
        one, other = ({"work": [runs[place] for place in generator.choice(POOL, pilot, False)]} for runs in sides)
        [comparison] = compare(one, other, threshold=0.0)
        assert comparison.needed is not None
        first, second = (generator.choice(values, comparison.needed.runs) for values in logarithms)
        found += second.mean() > first.mean() and stats.ttest_ind(first, second).pvalue < 0.05
    print(f"{found} of {TRIALS} differences were found")
    # With a probability of 90% each, fewer than that are found once in 10,000 times.
    assert found >= stats.binom.ppf(1e-4, TRIALS, 0.9)


Machine = Callable[[np.random.Generator, int], NDArray[np.float64]]
"""The times of consecutive runs on a machine, relative to the first."""


def steady(generator: np.random.Generator, runs: int) -> NDArray[np.float64]:
    return np.asarray(generator.normal(1, 0.02, runs))


def getting_slower(generator: np.random.Generator, runs: int) -> NDArray[np.float64]:
    """By a quarter."""
    return np.asarray(np.linspace(1, 1.25, runs) + generator.normal(0, 0.005, runs))


def in_phases(generator: np.random.Generator, runs: int) -> NDArray[np.float64]:
    """Slow for the second and third of four runs, as if something else ran at regular times. With runs in the order
    A B B A A B B A, all runs of B would be slow."""
    return np.asarray(np.resize([1, 1.1, 1.1, 1], runs) + generator.normal(0, 0.005, runs))


def with_a_memory(generator: np.random.Generator, runs: int) -> NDArray[np.float64]:
    """Each run is similar to the one before."""
    return np.asarray(1 + lfilter([1], [1, -0.9], generator.normal(0, 0.01, runs + 50))[50:])


MACHINES: tuple[Machine, ...] = (steady, getting_slower, in_phases, with_a_memory)


def as_bench_does(machine: Machine, generator: np.random.Generator, runs: int, factor: float) -> Comparison:
    """The comparison of two programs on ``machine``, in the order of bench --vs. The second one takes ``factor`` times
    the time of the first."""
    times = 1000 * machine(generator, 2 * runs)
    order = RunOrder.new(int(generator.integers(1 << 32))).extended(runs)
    one, other = in_random_order([Run(Interval(time, time, time), 1) for time in times], order)
    slower = [replace(run, median=Interval(*(factor * end for end in astuple(run.median)))) for run in other]
    [comparison] = compare({"work": one}, {"work": slower}, threshold=0.0)
    return comparison


@pytest.mark.parametrize("runs", [1, 3, 4, 10, 12])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_no_false_alarm_on_a_machine_whose_speed_changes(machine: Machine, runs: int) -> None:
    """The runs are in random order, and only runs of the same block are exchanged."""
    generator = np.random.default_rng(runs)
    verdicts = [as_bench_does(machine, generator, runs, 1.0).verdict for _ in range(TRIALS)]
    print(f"{alarms(verdicts)} of {TRIALS} comparisons gave an alarm")
    assert alarms(verdicts) <= most_alarms(TRIALS, runs, 1e-4)


@pytest.mark.heavy("permutes hundreds of runs in many ways")
@pytest.mark.parametrize("pilot", [3, 10])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_the_runs_that_are_told_find_five_percent_on_such_a_machine(machine: Machine, pilot: int) -> None:
    """In 90% of all cases, by the test that bench makes."""
    generator, found, told = np.random.default_rng(pilot), 0, []
    for _ in range(TRIALS):
        first = as_bench_does(machine, generator, pilot, 1.05)
        assert first.needed is not None
        told.append(first.needed.runs)
        found += as_bench_does(machine, generator, first.needed.runs, 1.05).verdict is Verdict.SLOWER
    print(f"{found} of {TRIALS} differences were found, with {np.median(told):.0f} runs (median)")
    assert found >= stats.binom.ppf(1e-4, TRIALS, 0.9)


def test_ten_runs_find_five_percent() -> None:
    """With runs that differ by 2%."""
    generator = np.random.default_rng(7)
    verdicts = [trial(independent, generator, 1.05, 10) for _ in range(TRIALS)]
    assert verdicts.count(Verdict.SLOWER) >= stats.binom.ppf(1e-4, TRIALS, 0.9)
    assert Verdict.FASTER not in verdicts
