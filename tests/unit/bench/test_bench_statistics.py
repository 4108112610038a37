"""The harness's arithmetic."""

from __future__ import annotations

import pytest

from bench.statistics import paired_difference, paired_ratio, spread


def test_a_ratio_is_taken_round_by_round() -> None:
    """A machine that is ten times slower in one round slows both: the ratio of medians would be 20."""
    assert paired_ratio([20, 200, 20], [10, 100, 10]) == 2
    assert paired_ratio([20, 200, 200], [10, 100, 100]) == 2


def test_a_difference_is_taken_round_by_round() -> None:
    assert paired_difference([11, 52, 103], [1, 50, 100]) == 3


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        paired_ratio([1, 2], [1])
    with pytest.raises(ValueError, match="argument"):
        paired_difference([1], [1, 2])


def test_the_spread_is_the_quartiles() -> None:
    assert spread([5]) == (5, 5)
    assert spread([1, 2, 3, 4, 5]) == (2, 4)
    assert spread([5, 1, 4, 2, 3]) == (2, 4)
