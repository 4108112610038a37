"""Numbers as columns of text."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from htrun.sinks.columns import bytes_of, decimal, digits, from_texts, hexadecimal, signed_decimal, text_of

words = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20).map(lambda power: 10**power % 2**64), min_size=1)


def lines(column: np.ndarray) -> list[str]:
    return [row.tobytes().replace(b"\0", b"").decode() for row in column]


@given(words)
def test_decimal_numbers(values: list[int]) -> None:
    assert lines(decimal(np.array(values, np.uint64))) == [str(value) for value in values]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_signed_numbers(values: list[int]) -> None:
    assert lines(signed_decimal(np.array(values, np.int64))) == [str(value) for value in values]


@given(words, st.integers(1, 20))
def test_last_digits(values: list[int], count: int) -> None:
    expected = [str(value).zfill(20)[-count:] for value in values]
    assert lines(digits(np.array(values, np.uint64), count)) == expected


@given(words)
def test_hexadecimal_numbers(values: list[int]) -> None:
    assert lines(hexadecimal(np.array(values, np.uint64))) == [f"{value:016x}" for value in values]


def test_parts_come_in_the_order_of_the_events() -> None:
    odd, even = np.array([1, 3]), np.array([0, 2])
    parts = [(odd, from_texts([b"b", b"ddd"])), (even, from_texts([b"aa", b"c"]))]
    assert text_of(parts, 4) == b"aabcddd"
    assert bytes(bytes_of(parts, 4)) == b"aab\0\0c\0ddd"
