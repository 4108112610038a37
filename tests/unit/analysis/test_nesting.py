"""The search for the spans around a span gives the same result as a linear search."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from htrun.analysis.timing.nesting import last_above

numbers = st.integers(0, 20)


@given(st.lists(numbers, min_size=1, max_size=70), st.lists(st.tuples(numbers, st.floats(0, 1)), max_size=30))
def test_the_last_one_above_a_limit(values: list[int], queries: list[tuple[int, float]]) -> None:
    asked = [(round(share * len(values)), limit) for limit, share in queries]
    expected = [max((place for place in range(before) if values[place] > limit), default=-1) for before, limit in asked]
    before, limits = (np.array([each[side] for each in asked], np.int64) for side in (0, 1))
    assert last_above(np.array(values, np.int64), before, limits).tolist() == expected
