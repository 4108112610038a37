"""Sorting rows by codes gives the same order as sorting by the columns, for any numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.analysis.timing.codes import codes_of, in_order, starts_of

_WORDS = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.integers(2**63 - 2, 2**63 + 2))
_INTEGERS = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(st.tuples(_WORDS, _INTEGERS, st.integers(0, 4)), max_size=50))
def test_codes_are_in_the_order_of_the_columns(rows: list[tuple[int, int, int]]) -> None:
    columns = [
        np.array([row[0] for row in rows], np.uint64),
        *(np.array([row[n] for row in rows], np.int64) for n in (1, 2)),
    ]
    codes = codes_of(*columns)
    assert codes.min(initial=0) >= 0
    order = in_order(codes)
    assert order.tolist() == sorted(range(len(rows)), key=lambda place: rows[place])
    in_turn = [rows[place] for place in order]
    starts = [n for n, row in enumerate(in_turn) if n == 0 or row != in_turn[n - 1]]
    assert starts_of(codes[order]).tolist() == starts


@pytest.mark.parametrize("most", [1, 2**16, 2**17, 2**40, 2**62])
def test_equal_codes_keep_their_order(most: int) -> None:
    codes = np.random.default_rng(most).integers(0, most, 3000) // 3
    assert in_order(codes).tolist() == np.argsort(codes, kind="stable").tolist()
