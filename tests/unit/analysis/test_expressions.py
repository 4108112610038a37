"""Conditions on events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from htrun.analysis.expressions import Expression
from htrun.errors import HtrunError

KNOWN = {"arg1", "arg2", "signed", "ratio", "comm", "kind", "absent"}


class Columns:
    """A few events."""

    def __init__(self, **columns: Any) -> None:
        self.columns = columns

    def column(self, name: str) -> NDArray[Any] | None:
        return self.columns.get(name)

    def labels(self, name: str) -> dict[str, int]:
        return {"READ": 0, "WRITE": 1} if name == "kind" else {}


EVENTS = Columns(
    arg1=np.array([0, 1, 0xCAFE, 2**64 - 1], np.uint64),
    arg2=np.array([5, 6, 7, 8], np.uint64),
    signed=np.array([-(2**63), -1, 0, 7], np.int64),
    ratio=np.array([0.5, -1.0, float("nan"), float("inf")]),
    comm=np.array(["app", "", "app", "other"]),
    kind=np.array([0, 1, 2, 0], np.uint64),
)


def matching(text: str) -> list[int]:
    return np.flatnonzero(Expression.parse(text, KNOWN).matches(EVENTS, 4)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("arg1 == 0xcafe and arg2 > 5", [2]),
        ("arg1 == 0 or arg2 == 8", [0, 3]),
        ("not arg1 == 0", [1, 2, 3]),
        ("arg1", [1, 2, 3]),
        ("arg1 == 18446744073709551615", [3]),
        ("arg1 > 9223372036854775807", [3]),
        ("arg1 > -1", [0, 1, 2, 3]),
        ("arg1 == -1", []),
        ("arg1 + 1 == 0", [3]),
        ("signed < 0", [0, 1]),
        ("signed == -9223372036854775808", [0]),
        ("signed < arg1", [0, 1, 2, 3]),
        ("signed + arg2 == 5", [1]),
        ("ratio < 1", [0, 1]),
        ("ratio != ratio", [2]),
        ("ratio * 2 == 1", [0]),
        ("5 < arg2 <= 7", [1, 2]),
        ("arg2 in (5, 8)", [0, 3]),
        ("arg2 not in [5, 8]", [1, 2]),
        ("arg2 in ()", []),
        ("arg2 & 1", [0, 2]),
        ("arg2 >> 1 << 1 == 6", [1, 2]),
        ("arg2 ^ 5 == 0", [0]),
        ("~arg1 == 0", [3]),
        ("arg2 % 2 == 0 and arg2 // 2 == 3", [1]),
        ("arg2 / 2 == 2.5", [0]),
        ("arg2 // 0", []),
        ("arg2 << 64", []),
        ("comm == 'app'", [0, 2]),
        ("comm in ('', 'other')", [1, 3]),
        ("comm", [0, 2, 3]),
        ("comm < 'b'", [0, 1, 2]),
        ("kind == 'WRITE'", [1]),
        ("'READ' != kind", [1, 2]),
        ("kind == 2", [2]),
        ("kind in ('READ', 2)", [0, 2, 3]),
        ("True", [0, 1, 2, 3]),
        ("False", []),
        ("(arg1 == 1) + (arg2 == 6) == 2", [1]),
        ("absent == 1", []),
        ("absent != 1", []),
        ("absent not in (1, 2)", []),
        ("absent", []),
        ("not absent", [0, 1, 2, 3]),
        ("absent + 1 > 0 or arg1 == 1", [1]),
        ("  arg1 == 1\n", [1]),
    ],
)
def test_meaning(text: str, expected: list[int]) -> None:
    assert matching(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "syntax"),
        ("arg1 ==", "syntax"),
        ("arg1 = 1", "syntax"),
        ("arg9 == 1", "no field 'arg9'; choose from absent, arg1"),
        ("__import__('os').system('id')", "not understood"),
        ("arg1.dtype", "not understood"),
        ("arg1[0]", "not understood"),
        ("[arg1 for arg1 in (1, 2)]", "not understood"),
        ("lambda: 1", "not understood"),
        ("(arg1 := 5)", "not understood"),
        ("f'{arg1}'", "not understood"),
        ("None", "not understood"),
        ("b'x' == comm", "not understood"),
        ("1j", "not understood"),
        ("(1, 2)", "not understood"),
        ("arg1 ** 2", "operators are"),
        ("arg1 @ 2", "operators are"),
        ("arg1 is 1", "comparisons are"),
        ("arg1 in arg2", "comparisons are"),
        ("arg1 == (1, 2)", "not understood"),
        ("comm == 1", "one is a text, the other a number"),
        ("comm + 1", "is a text"),
        ("-comm", "is a text"),
        ("kind == 'REED'", "never 'REED'; its values are READ, WRITE"),
        ("ratio & 1", "whole numbers"),
        ("~ratio", "whole numbers"),
        ("arg1 == 18446744073709551616", "64 bits"),
        ("arg1 == -9223372036854775809", "64 bits"),
        ("(" * 90 + "1" + ")" * 90 + "+ 1" * 200, "nested too deeply"),
        ("not " * 500 + "arg1", "nested too deeply"),
        ("1+" * 6000 + "1", "longer than"),
        ("a\0", "null"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(HtrunError, match=reason) as caught:
        matching(text)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="arg12 ()+-*/%&|^~<>=!.,'[]notandinor0x", max_size=30) | st.text(max_size=20))
def test_any_text_is_a_condition_or_refused_in_one_line(text: str) -> None:
    told = ""
    try:
        result = Expression.parse(text, KNOWN).matches(EVENTS, 4)
    except HtrunError as error:
        told = str(error)
    else:
        assert result.shape == (4,)
        assert result.dtype == np.bool_
    assert "\n" not in told


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.sampled_from(["+", "-", "*", "&", "|", "^"]),
)
def test_whole_numbers_are_exact_and_wrap_around(left: int, right: int, comparison: str, operator: str) -> None:
    columns = Columns(arg1=np.array([left], np.uint64), arg2=np.array([right], np.uint64))
    words = {"arg1": left, "arg2": right}
    text = f"arg1 {comparison} arg2"
    assert Expression.parse(text, KNOWN).matches(columns, 1).tolist() == [eval(text, {}, words)]
    result = eval(f"arg1 {operator} arg2", {}, words) % 2**64
    assert Expression.parse(f"arg1 {operator} arg2 == {result}", KNOWN).matches(columns, 1).tolist() == [True]
