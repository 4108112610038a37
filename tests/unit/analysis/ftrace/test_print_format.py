"""The text that the kernel's ``print fmt`` produces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.analysis.ftrace.c_expressions import CError, Evaluation, parse
from htrun.analysis.ftrace.print_format import Conversion, called, pieces, symbol_fields

RECORD: dict[str, int | str] = {"a": 5, "minus": -3, "big": (1 << 64) - 1, "text": "init", "list[0]": 7, "list[1]": 8}


def value(text: str) -> Any:
    (node,) = parse(text)
    return Evaluation(RECORD, called).value(node)


def printed(print_format: str) -> str:
    known = [name.partition("[")[0] for name in RECORD]
    return "".join(
        piece.text(RECORD) if isinstance(piece, Conversion) else piece for piece in pieces(print_format, known)
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("REC->a", 5),
        ("REC->list[REC->a - 4]", 8),
        ("(REC->a & ((((0x0000 | 0x0001) + 1) << 1) - 1)) ? 1 : 2", 1),
        ("!REC->a || REC->minus < 0 && 1", 1),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("010 + 0x1fUL", 39),
        ("(unsigned char)REC->minus", 253),
        ("(unsigned int) ((REC->big) >> 20)", 0xFFFFFFFF),
        ("(s8)255", -1),
        ("(unsigned long long)REC->minus", (1 << 64) - 3),
        ("(void *)REC->a", 5),
        ("sizeof(unsigned long) + sizeof(struct page *) + sizeof(u16)", 18),
        ('"one" " two"', "one two"),
        ("'a'", 97),
        ("(REC->text)", "init"),
        ("~0 == -1", 1),
        ('__print_flags(REC->a, "|", { 0x1, "ONE" }, { (1UL << 1), "TWO" }, { 4, "FOUR" })', "ONE|FOUR"),
        ('__print_flags(REC->a, "", { 1, "A" })', "A0x4"),
        ('__print_symbolic(REC->a, { 4, "four" }, { 5, "five" })', "five"),
        ('__print_symbolic(REC->minus, { 4, "four" }, { -3, "less" })', "less"),
        ('__print_symbolic(9, { 4, "four" })', "0x9"),
        ("__get_str(text)", "init"),
    ],
)
def test_values(text: str, wanted: int | str) -> None:
    assert value(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["1 +", "REC->", "REC->a.b", "(1", "{1,2", "1 / 0", "1 << 64", "REC->none", "unknown", "f(1)", "'", '"', "1 2", "@",
     "REC->list[9]", "09", "sizeof(x)", "-REC->text", "(" * 200, "!" * 200, "f(" * 200],
)  # fmt: skip
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(CError):
        value(text)


@pytest.mark.parametrize(
    ("print_format", "wanted"),
    [
        ('"plain 100%%"', "plain 100%"),
        ('"%d %i %u", REC->a, REC->minus, REC->minus', "5 -3 4294967293"),
        ('"%ld %lu %lld", REC->minus, REC->big, REC->big', "-3 18446744073709551615 -1"),
        ('"%x %#lx %08lx %X", REC->a, REC->big, REC->a, 255', "5 0xffffffffffffffff 00000005 FF"),
        ('"[%5d|%-5d|%05d|%+d]", 42, 42, 42, 42', "[   42|42   |00042|+42]"),
        ('"%s [%6s] %.2s %-*s|", REC->text, REC->text, REC->text, 6, REC->text', "init [  init] in init  |"),
        ("\"%c%c\", 'o', 107", "ok"),
        ('"%p %pS", REC->a, REC->text', "0000000000000005 init"),
        ('"%hhd %hu", 255, -1', "-1 65535"),
        ('"%03d.%s", 7, (REC->a > 4) ? "yes" : "no"', "007.yes"),
        ('"%s", 1 / 0', "?"),
    ],
)
def test_printed(print_format: str, wanted: str) -> None:
    assert printed(print_format) == wanted


@pytest.mark.parametrize(
    "print_format",
    ['"%d"', "REC->a", '"%d", REC->none', '"%s", __builtin_thing(REC->a)', '"%d", __get_dynamic_array_len(a)', ""],
)
def test_what_can_not_be_printed(print_format: str) -> None:
    with pytest.raises((CError, ValueError)):
        printed(print_format)


def test_fields_that_are_names_of_functions() -> None:
    assert symbol_fields('"%pS<-%ps %lx", (void *)REC->ip, REC->parent, REC->parent') == {"ip"}
    assert symbol_fields("nonsense(") == frozenset()


EXPRESSIONS = st.recursive(
    st.integers(0, 1000).map(str),
    lambda inner: st.builds(
        "({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "&", "|", "^", "==", "<", ">="]), inner
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_arithmetic_is_as_pythons(text: str) -> None:
    assert value(text) == int(eval(text))


@given(st.text() | st.text(alphabet='REC->ab()[]{}"%,?:&|!~ 019'))
def test_any_text_is_understood_or_refused(text: str) -> None:
    told = ""
    try:
        for node in parse(text):
            Evaluation(RECORD, called).value(node)
    except CError as error:
        told = str(error)
    assert len(told.splitlines()) <= 1
