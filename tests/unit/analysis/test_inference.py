"""Statistics on simulated durations: intervals contain the truth as often as they should, and verdicts are correct."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage, optimize, signal, special, stats

from htrun.analysis.timing import inference
from htrun.analysis.timing.comparison import (
    Run,
    Verdict,
    compare,
    geometric_mean,
    ratio_of,
)
from htrun.analysis.timing.distribution import Distribution, Tally
from htrun.analysis.timing.inference import Blocks, drift, median_interval, modes

DATA_SETS = 1000
TRIALS = 400
STEP = 10.02
"""The step in ns of a clock that counts in steps, as AMD's time stamp counters do."""


def measured(generator: np.random.Generator, durations: np.ndarray) -> Distribution:
    """``durations`` as such a clock measures them. Each begins at a random time."""
    begin = generator.random(len(durations)) * STEP
    return Distribution.of((np.floor((begin + durations) / STEP) - np.floor(begin / STEP)) * STEP, step=STEP)


def held(sets: list[Distribution], truth: float) -> float:
    """The share of ``sets`` whose interval contains ``truth``."""
    intervals = [median_interval(each) for each in sets]
    return sum(each.low <= truth <= each.high for each in intervals) / len(sets)


@pytest.mark.parametrize("count", [30, 100, 1000])
@pytest.mark.parametrize("shape", ["normal", "heavy tail", "bimodal"])
def test_the_interval_of_the_median_holds_the_truth_19_times_in_20(shape: str, count: int) -> None:
    generator = np.random.default_rng(count)
    match shape:
        case "normal":
            samples, truth = generator.normal(200, 20, (DATA_SETS, count)), 200.0
        case "heavy tail":
            samples, truth = generator.lognormal(5, 1, (DATA_SETS, count)), math.exp(5)
        case _:
            second = generator.random((DATA_SETS, count)) < 0.3
            samples = np.where(second, 400, 100) + generator.normal(0, 10, (DATA_SETS, count))
            truth = 100 + 10 * stats.norm.ppf(0.5 / 0.7)
    assert 0.93 <= held([Distribution.of(sample) for sample in samples], truth) <= 0.97


@pytest.mark.heavy("thousands of simulated medians")
@pytest.mark.parametrize("truth", [12.0, 25.0, 103.3])
def test_the_interval_holds_what_lies_between_two_steps_of_the_clock(truth: float) -> None:
    generator = np.random.default_rng(1)
    sets = [measured(generator, np.full(1000, truth)) for _ in range(DATA_SETS)]
    assert 0.93 <= held(sets, truth) <= 0.97


@pytest.mark.parametrize("share", [0.6, 0.7, 0.85])
def test_a_few_much_longer_spans_do_not_move_the_median(share: float) -> None:
    """The median of all spans is not the median of the short ones, which take one step or the next. A third duration
    may be near."""
    generator = np.random.default_rng(2)
    for spans in np.where(generator.random((20, 1600)) < share, 320.9, 2950.0):
        interval = median_interval(measured(generator, spans))
        assert 320 <= interval.low <= interval.value <= interval.high <= 320.9 + 2 * STEP


def test_quantiles_between_distinct_values_are_on_the_line_between_them() -> None:
    """These are Hazen's quantiles, for any step of the clock."""
    for step in (0.0, 1.0, 300.0):
        distribution = Distribution.of([100.0, 200.0, 400.0, 1000.0], step=step)
        assert distribution.quantiles([0, 0.125, 0.25, 0.5, 0.75, 1]).tolist() == [100, 100, 150, 300, 700, 1000]


def test_a_quantile_of_equal_values_stays_within_a_step_of_them() -> None:
    distribution = Distribution.of([10.0, 20.0, 90.0], [1, 89, 10], step=10.0)
    assert distribution.quantile(0.5) == pytest.approx(20, abs=10)
    assert 20 < distribution.quantile(0.89) <= 30
    assert 80 <= distribution.quantile(0.91) <= 90
    rising = distribution.quantiles(np.linspace(0, 1, 1001))
    assert (np.diff(rising) >= 0).all()


def test_the_median_lies_within_its_interval() -> None:
    generator = np.random.default_rng(9)
    for truth in (5.0, 14.5, 37.0):
        for noise in (0, 3, 30):
            each = median_interval(measured(generator, np.abs(truth + generator.normal(0, noise, 3998))))
            assert each.low <= each.value <= each.high


def runs(generator: np.random.Generator, factor: float, *, count: int, spans: int) -> list[Run]:
    """Runs that differ by 2% from each other, of spans that differ by 10%."""
    found = []
    for level in generator.normal(1, 0.02, count):
        distribution = Distribution.of(np.abs(generator.normal(1000 * level * factor, 100, spans)))
        found.append(Run(median_interval(distribution), distribution.count))
    return found


def verdicts(factor: float, *, count: int, spans: int, seed: int) -> list[Verdict]:
    """The verdicts of ``DATA_SETS`` trials."""
    generator = np.random.default_rng(seed)
    told = []
    for _ in range(TRIALS):
        baseline, candidate = ({"work": runs(generator, each, count=count, spans=spans)} for each in (1.0, factor))
        (comparison,) = compare(baseline, candidate, threshold=0.01)
        told.append(comparison.verdict)
    return told


@pytest.mark.heavy("hundreds of simulated comparisons")
@pytest.mark.parametrize(("count", "spans"), [(4, 200), (5, 200), (10, 200)])
def test_of_two_that_are_the_same_a_difference_is_told_once_in_20_times_at_most(count: int, spans: int) -> None:
    told = verdicts(1.0, count=count, spans=spans, seed=count)
    # If 400 trials have a probability of 5% each, more than this number succeed once in 1,000 times.
    assert sum(each in {Verdict.FASTER, Verdict.SLOWER} for each in told) <= stats.binom.isf(1e-3, TRIALS, 0.05)


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_the_ratio_is_that_of_the_medians_that_are_told(count: int) -> None:
    generator = np.random.default_rng(count)
    baseline, candidate = ({"work": runs(generator, factor, count=count, spans=200)} for factor in (1.0, 1.5))
    (comparison,) = compare(baseline, candidate, threshold=0.01)
    assert comparison.ratio is not None
    assert comparison.ratio.value == pytest.approx(comparison.medians[1] / comparison.medians[0], rel=1e-12)


@pytest.mark.heavy("hundreds of simulated comparisons")
def test_five_percent_are_found_with_ten_runs_of_200_spans_each() -> None:
    told = verdicts(1.05, count=10, spans=200, seed=3)
    assert told.count(Verdict.SLOWER) >= 0.95 * TRIALS
    assert Verdict.FASTER not in told


def test_two_single_runs_permit_no_verdict_however_many_spans_they_have() -> None:
    generator = np.random.default_rng(5)
    one, other = (runs(generator, factor, count=1, spans=2000) for factor in (1.0, 2.0))
    for sides in ((one, other), (one, other * 20), (one * 20, other)):
        (comparison,) = compare({"work": sides[0]}, {"work": sides[1]}, threshold=0.01)
        assert (comparison.verdict, comparison.probability) == (Verdict.NONE, None)
        assert comparison.ratio is not None
        assert comparison.ratio.value == pytest.approx(2, rel=0.2)
        assert not comparison.ratio.is_bounded


def test_many_names_are_corrected_for() -> None:
    """A difference that is significant for a single name may be random if there are many names."""
    generator = np.random.default_rng(8)
    one, other = (runs(generator, factor, count=4, spans=50) for factor in (1.0, 1.5))
    (alone,) = compare({"work": one}, {"work": other}, 0.01)
    assert alone.verdict is Verdict.SLOWER
    assert alone.probability == pytest.approx(2 / 70)
    among = compare({str(n): one for n in range(10)}, {str(n): other for n in range(10)}, 0.01)
    assert {each.verdict for each in among} == {Verdict.INCONCLUSIVE}
    assert among[0].probability == pytest.approx(20 / 70)
    (twice,) = compare({"work": one}, {"work": other}, 0.01, looks=2)
    assert twice.verdict is Verdict.INCONCLUSIVE
    assert twice.probability == pytest.approx(4 / 70)


def test_the_geometric_mean_of_ratios() -> None:
    generator = np.random.default_rng(11)
    one = {name: runs(generator, 1.0, count=5, spans=100) for name in "xyz"}
    other = {
        name: runs(generator, factor, count=5, spans=100) for name, factor in zip("xyz", (0.5, 2.0, 4), strict=True)
    }
    mean = geometric_mean(one, other)
    assert mean is not None
    ratios = [each.ratio.value for each in compare(one, other, 0.01) if each.ratio is not None]
    assert mean.value == pytest.approx(stats.gmean(ratios))
    assert 1 < mean.low < mean.value < mean.high
    single = geometric_mean({"x": one["x"][:1]}, {"x": other["x"][:1]})
    assert single is not None
    assert not single.is_bounded
    assert geometric_mean({**one, "x": one["x"][:2]}, other) is None
    assert geometric_mean({}, {}) is None


def test_what_a_median_under_the_resolution_is_compared_with_is_inconclusive() -> None:
    side = Distribution.of([1.0, 2.0, 3.0])
    run = Run(median_interval(side), side.count, resolved=False)
    (comparison,) = compare({"work": [run] * 5}, {"work": [run] * 5}, 0.01)
    assert comparison.ratio is None
    assert comparison.verdict is Verdict.INCONCLUSIVE


def run_of(middle: float, reach: float, count: int = 100) -> Run:
    """A run whose spans are nearly equal."""
    side = Distribution.of(middle + np.linspace(-0.1, 0.1, count))
    return Run(median_interval(side), side.count, reach=reach)


def five(middle: float, reach: float) -> list[Run]:
    """Runs around 100 that differ by 0.1%."""
    return [run_of(middle + step, reach) for step in np.linspace(-0.1, 0.1, 5)]


def test_what_the_cost_of_events_may_be_wrong_by_is_alike_on_both_sides() -> None:
    ratios = [ratio_of(five(100, reach), five(100, reach)) for reach in (0.0, 5.0)]
    assert ratios[0] is not None
    assert ratios[1] is not None
    assert (ratios[1].low, ratios[1].high) == pytest.approx((ratios[0].low, ratios[0].high), abs=1e-3)
    without, wide = (ratio_of(five(100, reach), five(200, reach)) for reach in (0.0, 5.0))
    assert without is not None
    assert wide is not None
    assert (without.value, wide.value) == pytest.approx((2, 2), rel=1e-3)
    assert without.high < 2.01
    assert 205 / 105 > wide.low > 205 / 105 - 0.01
    assert 195 / 95 < wide.high < 195 / 95 + 0.01
    assert ratio_of(five(4, 5.0), five(100, 5.0)) is None


def test_a_run_with_one_span_is_a_run() -> None:
    """The variation between runs determines the accuracy of the median."""
    one = [run_of(level, 0, count=1) for level in (199, 200, 201, 200.5)]
    found = ratio_of(one, five(100, 0))
    assert found is not None
    assert found.is_bounded
    assert found.low < found.value < found.high < 0.6


def test_quantiles_are_between_the_steps_as_often_as_the_steps_came() -> None:
    assert Distribution.of([10.0] * 7 + [20.0] * 3, step=10.0).median == pytest.approx(13.0)
    values = np.random.default_rng(7).normal(0, 1, 101)
    assert Distribution.of(values).median == np.median(values)
    assert Distribution.of([5.0]).median == 5.0


def test_a_tally_counts_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("htrun.analysis.timing.distribution._PENDING", 3)
    tally = Tally()
    for batch in (([5, 5], [1, 2]), ([5, 7], [1, 1]), ([7], [1])):
        tally.add(np.array(batch[0]), np.array(batch[1]))
    durations, events, counts = tally.pairs()
    assert list(zip(durations.tolist(), events.tolist(), counts.tolist(), strict=True)) == [
        (5, 1, 2),
        (7, 1, 2),
        (5, 2, 1),
    ]


def test_modes_are_told_where_they_are_and_only_there() -> None:
    generator = np.random.default_rng(4)
    two = np.where(generator.random(2000) < 0.3, 400, 100) + generator.normal(0, 10, 2000)
    assert [round(mode, -1) for mode in modes(measured(generator, two), STEP)] == [100, 400]
    one = [generator.normal(200, 20, 500) for _ in range(200)] + [generator.lognormal(5, 1, 500) for _ in range(200)]
    assert sum(bool(modes(measured(generator, each), STEP)) for each in one) <= 0.05 * len(one)
    # Two steps of a coarse clock are not two modes.
    assert modes(measured(generator, np.full(1000, 14.0)), STEP) == ()


def test_a_drift_is_told_and_chance_is_none() -> None:
    generator = np.random.default_rng(6)
    blocks = Blocks()
    for part in np.split(1000 + np.arange(100_000) * 0.002 + generator.normal(0, 30, 100_000), 7 * [0] + [3, 50_000]):
        blocks.add(part)
    assert 512 <= len(blocks.medians) < 1024
    assert drift(blocks.medians, 1.0) == pytest.approx(200, rel=0.05)
    steady = [generator.normal(1000, 30, 200) for _ in range(500)]
    assert sum(drift(each, 1.0) is not None for each in steady) <= 2
    assert drift(generator.normal(1000, 30, 10), 1.0) is None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 30, 101, 12_345, 1_000_000])
def test_the_rank_of_the_end_of_an_interval_is_the_exact_one(count: int) -> None:
    def missed(k: float) -> float:
        return float(special.betainc(count + 1 - k, k, 0.5)) - 0.025

    exact = optimize.brentq(missed, 0.5, (count + 1) / 2) if missed(0.5) <= 0 else 0.5
    assert inference._order_share(count) * count + 0.5 == pytest.approx(exact, abs=0.001 if count >= 10 else 0.005)


@pytest.mark.parametrize("size", [1, 2, 3, 16, 500])
def test_densities_and_their_peaks_are_those_of_scipy(size: int) -> None:
    generator = np.random.default_rng(size)
    for width in (0.7, 4.0, 20.0):
        counts = generator.integers(0, 5, size).astype(np.float64)
        smooth = ndimage.gaussian_filter1d(counts, width, mode="constant")
        assert inference._smoothed(counts, width) == pytest.approx(smooth, abs=1e-12)
        assert inference._peaks(counts) == signal.find_peaks(counts)[0].tolist()


@pytest.mark.parametrize("count", [40, 41, 1023])
@pytest.mark.parametrize("levels", [2, 30, 10**9])
def test_drift_has_the_probability_and_the_slope_of_scipy(count: int, levels: int) -> None:
    generator = np.random.default_rng(count)
    for slope in (0.0, 0.01, -1.0):
        values = (generator.integers(levels, size=count) + np.round(slope * np.arange(count))).astype(np.float64)
        known = stats.kendalltau(np.arange(count), values).pvalue
        assert inference._probability_of_order(values) == pytest.approx(known, rel=1e-6)
        assert inference._slope(values) == pytest.approx(stats.theilslopes(values).slope)


def test_equal_values_do_not_drift() -> None:
    assert inference._probability_of_order(np.ones(50)) == 1
