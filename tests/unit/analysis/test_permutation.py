"""The permutation test and its interval: exact, in agreement with each other and with scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from htrun.analysis.timing import power
from htrun.analysis.timing.blocks import common_blocks, fewest_runs, sizes_of
from htrun.analysis.timing.permutation import shift

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6)


@given(VALUES, VALUES, st.sampled_from([0.05, 0.1, 0.01, 0.3]))
def test_the_interval_excludes_0_exactly_if_the_test_rejects_it(
    one: list[float], other: list[float], level: float
) -> None:
    found = shift(one, other, level)
    assert (found.probability <= level) == (not found.low <= 0 <= found.high)
    assert found.low <= found.value + 1e-9
    assert found.value <= found.high + 1e-9


def test_it_is_the_test_that_scipy_has() -> None:
    generator = np.random.default_rng(3)

    def difference(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(second.mean(axis=axis) - first.mean(axis=axis))

    for first, second in ((4, 4), (5, 3), (6, 7)):
        one, other = generator.normal(0, 1, first), generator.normal(0.7, 1, second)
        theirs = stats.permutation_test((one, other), difference, n_resamples=np.inf, vectorized=True)
        assert shift(one.tolist(), other.tolist(), 0.05).probability == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("first", "second"), [(4, 4), (5, 8), (13, 12)])
def test_the_interval_holds_the_truth(first: int, second: int) -> None:
    """This holds for any distribution; here, it has a heavy tail. With 13 and 12 values, not all permutations are
    tried."""
    generator, trials = np.random.default_rng(first), 300 if first < 10 else 60
    held = 0
    for _ in range(trials):
        one, other = generator.standard_t(2, first), generator.standard_t(2, second) + 3
        found = shift(one.tolist(), other.tolist(), 0.05)
        held += found.low <= 3 <= found.high
    # A correct test exceeds this once in 10,000 times.
    assert held >= stats.binom.ppf(1e-4, trials, 0.95)


def test_too_few_values_bound_nothing() -> None:
    assert [fewest_runs(level) for level in (0.05, 0.05 / 10, 0.05 / 100)] == [4, 6, 8]
    few = shift([1, 2, 3], [1001, 1002, 1003], 0.05)
    assert (few.low, few.high, few.value) == (-math.inf, math.inf, 1000)
    assert few.probability == pytest.approx(0.1)
    enough = shift([1, 2, 3, 4], [1001, 1002, 1003, 1004], 0.05)
    assert 990 < enough.low < 1000 < enough.high < 1010


def test_values_that_are_all_the_same_do_not_differ() -> None:
    found = shift([5.0] * 5, [5.0] * 5, 0.05)
    assert (found.low, found.high, found.probability) == (0, 0, 1)


NUMBERS = st.lists(st.integers(-50, 50), min_size=2, max_size=5)
BLOCKS = st.lists(st.integers(0, 2), min_size=5, max_size=5)


@given(NUMBERS, NUMBERS, BLOCKS, BLOCKS, st.sampled_from([0.05, 0.2, 0.5]))
def test_only_values_of_the_same_block_are_exchanged(
    one: list[int], other: list[int], first: list[int], second: list[int], level: float
) -> None:
    """The probability is the share of ways with a difference at least as large, found by going through all of them."""
    blocks = (first[: len(one)], second[: len(other)])
    found = shift(one, other, level, blocks)
    values, places = np.array([*one, *other]), np.array([*blocks[0], *blocks[1]])
    ways = map(list, itertools.combinations(range(len(values)), len(one)))
    same = [way for way in ways if sorted(places[way]) == sorted(blocks[0])]
    # If the values of A have a smaller sum, B has a larger mean. Sums of whole numbers are exact.
    sums = np.array([values[way].sum() for way in same])
    extreme = min(np.count_nonzero(sums <= sum(one)), np.count_nonzero(sums >= sum(one)))
    assert found.probability == pytest.approx(min(2 * extreme / len(same), 1))
    assert (found.probability <= level) == (not found.low <= 0 <= found.high)


def test_many_ways_in_blocks_are_drawn() -> None:
    """The values of the two blocks are far apart, but in each block those of B are larger."""
    generator = np.random.default_rng(5)
    blocks = [0] * 8 + [1] * 8
    one = generator.normal(0, 1, 16) + np.repeat([0, 1000], 8)
    other = generator.normal(3, 1, 16) + np.repeat([0, 1000], 8)
    assert shift(one.tolist(), other.tolist(), 0.05, (blocks, blocks)).probability < 1e-4
    assert shift(one.tolist(), other.tolist(), 0.05).probability > 0.5


def test_blocks_hold_4_to_7_runs_and_permit_a_verdict_from_4_on() -> None:
    assert [sizes_of(runs) for runs in (0, 1, 3, 4, 7, 8, 10, 13)] == [
        *((), (1,), (3,), (4,), (7,), (4, 4), (5, 5), (5, 4, 4))
    ]
    assert all(sum(sizes_of(runs)) == runs for runs in range(200))
    assert all(4 <= size <= 7 for runs in range(4, 200) for size in sizes_of(runs))


def test_runs_of_different_blocks_are_all_exchanged() -> None:
    assert common_blocks(["x.0", "x.0", "x.1"], ["x.1", "x.0"]) == ([0, 0, 1], [1, 0])
    assert common_blocks(["x.0", "x.1"], ["y.0", "y.1"]) == ([0, 0], [0, 0])
    assert common_blocks(["x.0", ""], ["x.0"]) == ([0, 0], [0])


@pytest.mark.parametrize("pilot", [2, 5])
@pytest.mark.parametrize("deviation", [0.01, 0.03])
def test_the_runs_that_are_told_to_be_needed_find_the_change(pilot: int, deviation: float) -> None:
    """In 90% of all cases, if the spread is known only from ``pilot`` runs of each."""
    generator, trials, change = np.random.default_rng(pilot), 200, math.log(1.05)
    found = 0
    for _ in range(trials):
        sides = [generator.normal(level, deviation, pilot).tolist() for level in (0, change)]
        known, guessed = power.spread(sides, within=0.001)
        assert not guessed
        runs = power.runs_needed(known, change, 0.05)
        one, other = generator.normal(0, deviation, runs), generator.normal(change, deviation, runs)
        if runs <= 8:
            found += shift(one.tolist(), other.tolist(), 0.05).low > 0
        else:
            found += stats.ttest_ind(one, other).pvalue < 0.05
    assert found >= stats.binom.ppf(1e-4, trials, 0.9)


def test_of_single_runs_the_spread_is_assumed() -> None:
    deviation, guessed = power.spread([[1.0], [2.0]], within=0.04)
    assert guessed
    assert deviation == pytest.approx(0.05)
    assert power.runs_needed(0.0, 0.05, 0.05) == fewest_runs(0.05)
    assert power.runs_needed(10.0, 0.001, 0.05) == 10_000
