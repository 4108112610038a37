"""Texts of system calls as events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from htrun.events.call_texts import (
    TEXT_BYTES,
    Text,
    after_their_calls,
    first,
    in_batches,
    like_their_calls,
    split,
    without_texts,
)
from htrun.events.definitions import DEFINITIONS, SYSCALL_ARGS, USER_SYSCALL, USER_SYSCALL_TEXT
from htrun.events.records import event_dtype

if TYPE_CHECKING:
    from htrun.events.records import Events

_CALL, _TEXT = DEFINITIONS.index(USER_SYSCALL), DEFINITIONS.index(USER_SYSCALL_TEXT)


def events_of(*calls: tuple[int, int, list[Text]]) -> Events:
    """Calls, each with its time and stream and followed by its texts."""
    rows: list[tuple[int, int, int, tuple[int, ...]]] = []
    for time, stream, texts in calls:
        rows.append((time, stream, _CALL, (7,) * SYSCALL_ARGS))
        rows += [(time, stream, _TEXT, arguments) for text in texts for arguments in text.pack()]
    events = np.zeros(len(rows), event_dtype(SYSCALL_ARGS))
    for field, column in zip(("time", "stream", "kind", "args"), zip(*rows, strict=True), strict=True):
        events[field] = column
    return events


@pytest.mark.parametrize("size", [0, 1, TEXT_BYTES - 1, TEXT_BYTES, TEXT_BYTES + 1, 4096])
@pytest.mark.parametrize("cut", [False, True])
def test_a_text_is_the_same_again(size: int, cut: bool) -> None:
    text = Text(2, 5, bytes(number % 256 for number in range(size)), cut)
    calls, texts = split(events_of((1, 0, [text])))
    assert len(calls) == 1
    assert list(texts.of(0, 2)) == [text]
    assert texts.places() == {2}
    assert not texts.of(0, 1)


def test_several_texts_of_several_calls() -> None:
    words = [Text(1, number, b"x" * number * 40) for number in range(4)]
    path = Text(0, 0, b"/bin/x")
    calls, texts = split(events_of((1, 0, []), (2, 0, [path, *words]), (3, 1, []), (4, 1, [path])))
    assert calls["time"].tolist() == [1, 2, 3, 4]
    assert [list(texts.of(row, 0)) for row in range(4)] == [[], [path], [], [path]]
    assert list(texts.of(1, 1)) == words
    assert list(texts.of_rows(np.array([3, 1])).of(0, 0)) == [path]
    assert list(texts.of_rows(np.array([3, 1])).of(1, 1)) == words


def test_a_text_without_its_call_is_dropped() -> None:
    events = events_of((1, 0, [Text(0, 0, b"a")]), (2, 1, [Text(0, 0, b"b")]))
    calls, texts = split(events[1:])
    assert calls["time"].tolist() == [2]
    assert list(texts.of(0, 0)) == [Text(0, 0, b"b")]
    other = events.copy()
    other["stream"][1] = 9
    assert not split(other)[1].of(0, 0)


def test_texts_come_behind_their_calls_again() -> None:
    events = events_of((1, 4, [Text(0, 0, b"a" * 100)]), (1, 3, [Text(0, 0, b"b")]), (2, 4, []))
    mixed = events[[4, 1, 3, 2, 0, 5]]
    ordered = after_their_calls(mixed[np.argsort(mixed["time"], kind="stable")])
    assert ordered["stream"].tolist() == [3, 3, 4, 4, 4, 4]
    calls, texts = split(ordered)
    assert [texts.of(row, 0)[0].data if texts.of(row, 0) else None for row in range(len(calls))] == [
        b"b",
        b"a" * 100,
        None,
    ]


def test_texts_whose_calls_are_missing_are_left_out() -> None:
    events = events_of((1, 4, [Text(0, 0, b"a")]), (1, 3, [Text(0, 0, b"b")]), (2, 4, [Text(0, 0, b"c")]))
    for missing in ([0], [0, 2], [2], [4], [0, 2, 4]):
        kept = after_their_calls(np.delete(events, missing))
        assert (kept["kind"] == _TEXT).sum() == (kept["kind"] == _CALL).sum() == 3 - len(missing)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_batches_part_no_text_from_its_call(size: int) -> None:
    events = events_of(*((time, 0, [Text(0, 0, b"t" * 60 * (time % 3))] * (time % 2)) for time in range(1, 20)))
    batches = list(in_batches(events, size))
    assert (np.concatenate(batches) == events).all()
    assert all(batch["kind"][0] == _CALL for batch in batches)
    assert max(map(len, batches)) <= size + 3


def test_the_first_calls_with_their_texts() -> None:
    events = events_of((1, 0, [Text(0, 0, b"a" * 60)]), (2, 0, []), (3, 0, [Text(0, 0, b"c")]))
    assert [(len(first(events, count)[0]), first(events, count)[1]) for count in range(5)] == [
        (0, 0),
        (3, 1),
        (4, 2),
        (6, 3),
        (6, 3),
    ]


def test_texts_are_chosen_as_their_calls_are() -> None:
    events = events_of((1, 0, [Text(0, 0, b"a")]), (2, 0, []), (3, 0, [Text(0, 0, b"c")]))
    chosen = np.array([True, False, False, False, False])
    assert like_their_calls(events, chosen).tolist() == [True, True, False, False, False]
    assert without_texts(events)["time"].tolist() == [1, 2, 3]
