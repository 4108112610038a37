"""The definitions that a program's file contains: their text, their note, and their union."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htrun.events.arguments import Argument
from htrun.events.definition_notes import NewerNoteError, note, texts_of
from htrun.events.definition_text import text_of
from htrun.events.found_names import FoundNames
from htrun.events.named import NamedEvent, NamedEvents, Phase

ARGUMENTS = ("n", "size:i64", "ratio:f64:.3f", "at:hex", "ok:bool", "kind:enum:READ=0,WRITE=0xbeef", "wide:u64:x")
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9).filter(
    lambda name: name.isprintable() and name == name.strip()
)


@st.composite
def events(draw: st.DrawFn) -> list[NamedEvent]:
    """Events that differ in id and name."""
    names = draw(st.lists(NAMES, unique=True, max_size=4))
    ids = draw(st.lists(st.integers(0, 2**64 - 1), unique=True, min_size=len(names), max_size=len(names)))
    found = []
    for id_, name in zip(ids, names, strict=True):
        texts = draw(st.lists(st.sampled_from(ARGUMENTS), unique=True, max_size=5))
        found.append(NamedEvent(id_, name, arguments=tuple(map(Argument.parse, texts))))
    return found


@settings(max_examples=60, deadline=None)
@given(events())
def test_a_text_gives_the_same_events(some: list[NamedEvent]) -> None:
    assert NamedEvents.parse(text_of(some)).events == tuple(some)


def test_phases_and_keys_are_in_the_text() -> None:
    job = (Argument.parse("key"),)
    some = [
        NamedEvent(1, "job", Phase.BEGIN, job, "key"),
        NamedEvent(2, "job", Phase.END, job, "key"),
        NamedEvent(3, 'a "b" \\c', Phase.COUNTER, job),
    ]
    assert NamedEvents.parse(text_of(some)).events == tuple(some)


@pytest.mark.parametrize("big_endian", [False, True])
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9), max_size=4))
def test_notes_are_found_among_others(texts: list[str], big_endian: bool) -> None:
    other = note("no", big_endian=big_endian).replace(b"hypertrace", b"hypotenuse")
    notes = b"".join(other + note(text, big_endian=big_endian) for text in texts) + other
    assert list(texts_of(notes, big_endian=big_endian)) == texts
    for end in range(len(notes)):
        found = list(texts_of(notes[:end], big_endian=big_endian))
        assert found == texts[: len(found)]


def test_a_note_of_another_version_is_refused() -> None:
    newer = note("x").replace(b"\1\0\0\0hyper", b"\2\0\0\0hyper")
    with pytest.raises(NewerNoteError) as caught:
        list(texts_of(newer, big_endian=False))
    assert caught.value.args == (2,)


def _text(*tables: str) -> str:
    return "\n".join(f"[[event]]\n{table}" for table in tables)


IO = _text('id = 1\nname = "io"\nphase = "begin"', 'id = 2\nname = "io"\nphase = "end"')


def test_equal_definitions_in_two_files_are_one() -> None:
    found = FoundNames(4)
    assert not [*found.add(IO, "/a"), *found.add(IO + "\n# the same\n", "/b"), *found.add(IO, "/c")]
    assert found.named is not None
    assert [event.id for event in found.named.events] == [1, 2]
    before = found.named
    assert not list(found.add(_text('id = 3\nname = "more"'), "/d"))
    assert found.named.events[:2] == before.events
    assert NamedEvents.parse(found.named.text).events == found.named.events


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            _text('id = 2\nname = "job"'),
            "/b: id 2 is the event 'job', but 'io' in /a, which is used; change one, or give --events FILE",
        ),
        (
            _text('id = 7\nname = "io"\nphase = "begin"', 'id = 8\nname = "io"\nphase = "end"'),
            "/b: the event 'io' has id 7, but id 1 in /a, which is used; change one, or give --events FILE",
        ),
        (
            _text('id = 1\nname = "io"\nphase = "begin"\nargs = ["n"]', 'id = 2\nname = "io"\nphase = "end"'),
            "/b: the event 'io' (id 1) has another phase, key or arguments than in /a, which is used; change one, or "
            "give --events FILE",
        ),
        (
            _text('id = 5\nname = "wide"\nargs = ["a", "b", "c", "d"]'),
            "/b: the event 'wide' needs 5 arguments, and the channel has 4, so it has no name; try: --hypertrace "
            "PATH,args=5",
        ),
        (
            _text('id = 5\nname = "x"\nphase = "begin"'),
            "the definitions of events in /b: the begin 'x' has no end (at line 4); its events have no names",
        ),
    ],
    ids=["id", "name", "arguments", "too many", "invalid"],
)
def test_a_conflict_is_one_line_and_the_first_is_used(other: str, message: str) -> None:
    found = FoundNames(4)
    assert not list(found.add(IO, "/a"))
    assert list(found.add(other, "/b")) == [message]
    assert found.named is not None
    assert found.named.events == NamedEvents.parse(IO).events


def test_what_does_not_conflict_is_used() -> None:
    found = FoundNames(4)
    assert not list(found.add(IO, "/a"))
    other = _text('id = 2\nname = "job"\nphase = "begin"', 'id = 9\nname = "job"\nphase = "end"', 'id = 4\nname = "x"')
    assert len(list(found.add(other, "/b"))) == 1
    assert found.named is not None
    assert [event.name for event in found.named.events] == ["io", "io", "x"]
