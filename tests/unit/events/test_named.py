"""Named events: the TOML file, its errors, and looking names up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.errors import HtrunError
from htrun.events.arguments import Argument, ArgumentType
from htrun.events.named import NamedEvent, NamedEvents, Phase

TEXT = """\
# Names for a test
[[event]]
id = 1
name = "io"
phase = "begin"
args = [
    "size:u64",
    "ratio:f64:.3f",
    "addr:u64:hex",
    "kind:enum:READ=0,WRITE=0x1",
]
key = "size"

[[event]]
id = 0x2
name = "io"
phase = "end"
args = ["size", "ok:bool"]
key = "size"

[[event]]
id = 18446744073709551615
name = "tick"
"""


def refusal(text: str) -> str:
    with pytest.raises(HtrunError) as caught:
        NamedEvents.parse(text, "e.toml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_says_what_events_are() -> None:
    named = NamedEvents.parse(TEXT)
    begin, end, tick = named.events
    assert begin.arguments == (
        Argument("size"),
        Argument("ratio", ArgumentType.F64, ".3f"),
        Argument("addr", ArgumentType.HEX),
        Argument("kind", ArgumentType.ENUM, labels={0: "READ", 1: "WRITE"}),
    )
    assert (begin.phase, begin.key, begin.key_place) == (Phase.BEGIN, "size", 0)
    assert (end.id, end.phase, end.arguments[1].type) == (2, Phase.END, ArgumentType.BOOL)
    assert tick == NamedEvent(2**64 - 1, "tick")
    assert (named.text, named.num_args) == (TEXT, 5)


def test_a_file_may_name_nothing() -> None:
    named = NamedEvents.parse("")
    assert (named.events, named.num_args, named.lookup(0)) == ((), 1, None)
    assert named.places(np.array([0, 1], np.uint64)).tolist() == [-1, -1]


@given(st.lists(st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 1]), min_size=1))
def test_names_of_many_events_are_those_of_each(ids: list[int]) -> None:
    named = NamedEvents.parse(TEXT)
    found = [named.events[place] if place >= 0 else None for place in named.places(np.array(ids, np.uint64))]
    assert found == [named.lookup(id_) for id_ in ids]


EVENT = '[[event]]\nid = 1\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[event]]\nid = = 1", "e.toml: Invalid value (at line 2, column 6)"),
        ("\nx = 1\n" + EVENT, "e.toml: unknown key 'x'; events are tables [[event]] (at line 2)"),
        ("\n[event]\nid = 1", "e.toml: an event is a table [[event]], with two brackets (at line 2)"),
        (EVENT + "\ncolour = 1", "unknown key 'colour'; choose from id, name, phase, args, key (at line 5)"),
        ('\n[[event]]\nname = "a"', "the event has no id (at line 2)"),
        ("[[event]]\nid = 1", "the event has no name (at line 1)"),
        ('[[event]]\nname = "a"\nid = true', "id must be a number from 0 to 2**64 - 1, not True (at line 3)"),
        ('[[event]]\nname = "a"\nid = -1', "not -1 (at line 3)"),
        ('[[event]]\nname = "a"\nid = 18446744073709551616', "not 18446744073709551616 (at line 3)"),
        ('[[event]]\nid = 1\nname = "a\\n"', "'a\\n' is not a valid name: use printable characters (at line 3)"),
        (EVENT + 'phase = "start"', "unknown phase 'start'; choose from 'instant', 'begin', 'end', 'counter' (at"),
        (EVENT + "phase = 1", "unknown phase 1; choose from"),
        (EVENT + "args = 3", 'args must be a list of texts, such as ["size:u64", "ratio:f64:.3f"] (at line 4)'),
        (EVENT + 'args = [\n"a",\n"b:u8",\n]',
            "b has the unknown type 'u8'; choose from u64, i64, f64, hex, bool, enum (at line 6)"),
        (EVENT + 'args = ["a b"]', "'a b' is not a valid name for an argument: use letters, digits and _ (at line 4)"),
        (EVENT + 'args = ["a", "a:i64"]', "two arguments are called 'a' (at line 4)"),
        (EVENT + 'args = ["a:f64:zz"]', "a: 'zz' is not a format for f64 (at line 4)"),
        (EVENT + 'args = ["a:bool:d"]', "a: the type bool takes no format, but 'd' is given (at line 4)"),
        (EVENT + 'args = ["a:enum"]', "a: '' is not LABEL=NUMBER; write a:enum:READ=0,WRITE=1 (at line 4)"),
        (EVENT + 'args = ["a:enum:X=y"]', "a: 'y' is not a number (at line 4)"),
        (EVENT + 'args = ["a:enum:X=18446744073709551616"]', "does not fit into 64 bits (at line 4)"),
        (EVENT + 'args = ["a:enum:X=1,Y=1"]', "a: 'Y=1' contains a label or a number twice (at line 4)"),
        (EVENT + f"args = {[f'a{n}' for n in range(64)]}", "64 arguments are more than the 63 that fit (at line 4)"),
        (EVENT + 'phase = "counter"', "the counter 'a' needs an argument to count (at line 4)"),
        (EVENT + 'args = ["k"]\nkey = "k"',
            "only a begin and an end have a key, not an event of phase instant (at line 5)"),
        (EVENT + 'phase = "begin"\nkey = "k"', "the key 'k' is none of the event's args (at line 5)"),
        (EVENT + 'phase = "begin"', "the begin 'a' has no end (at line 4)"),
        (EVENT + EVENT, "id 1 is that of the event 'a' at line 1 too (at line 5)"),
        (EVENT + EVENT.replace("1", "2"),
            "the name 'a' is taken at line 1; only one begin and one end share a name (at line 6)"),
        ('x = """\n[[event]]\n"""', "unknown key 'x'"),
        ('event = [{id = 1, name = ""}]', "'' is not a valid name: use printable characters (at line 1)"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    assert message in refusal(text)


def test_a_begin_and_its_end_both_have_a_key() -> None:
    begin = '[[event]]\nid = 1\nname = "a"\nphase = "begin"\nargs = ["k"]\n'
    end = begin.replace("begin", "end").replace("1", "2")
    assert "the begin 'a' has no key, but its partner has (at line 1)" in refusal(begin + end + 'key = "k"\n')


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'[[event]]\nname = "\xe9"')
    missing, latin = tmp_path / "none", tmp_path / "latin"
    reasons = {missing: "No such file", tmp_path: "Is a directory", latin: "it is not text"}
    for path, message in reasons.items():
        with pytest.raises(HtrunError, match=message):
            NamedEvents.load(path)


@pytest.mark.parametrize(
    ("text", "word", "shown"),
    [
        ("a", 2**64 - 1, "18446744073709551615"),
        ("a:u64:,", 1234567, "1,234,567"),
        ("a:i64", 2**64 - 1, "-1"),
        ("a:i64:+d", 5, "+5"),
        ("a:hex", 0xCAFE, "0x000000000000cafe"),
        ("a:f64", 0x3FB999999999999A, "0.1"),
        ("a:f64:.3f", 0x3FB999999999999A, "0.100"),
        ("a:f64", 0x7FF8000000000000, "nan"),
        ("a:f64:.1f", 0xFFF0000000000000, "-inf"),
        ("a:bool", 2, "true"),
        ("a:bool", 0, "false"),
        ("a:enum:X=-1", 2**64 - 1, "X"),
        ("a:enum:X=1", 2, "2"),
    ],
)
def test_an_argument_has_the_text_of_its_type(text: str, word: int, shown: str) -> None:
    assert Argument.parse(text).text(word) == shown


@given(st.integers(0, 2**64 - 1), st.sampled_from(["u64", "i64", "hex", "bool", "f64"]))
def test_values_of_many_are_those_of_each(word: int, type_: str) -> None:
    argument = Argument.parse(f"a:{type_}")
    [value] = argument.values(np.array([word], np.uint64)).tolist()
    assert repr(value) == repr(argument.value(word))
