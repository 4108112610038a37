"""Batches are split by the shapes of their events."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from htrun.events.arguments import Argument, ArgumentType
from htrun.events.shapes import Shapes
from tests.support.batches import NAMED, NUM_ARGS, Row, batch, rows


@settings(max_examples=50, deadline=None)
@given(rows())
def test_every_event_is_in_the_part_of_its_shape(some: list[Row]) -> None:
    events = batch(some)
    seen = []
    for shape, part in Shapes(NUM_ARGS, NAMED).split(events):
        places = np.arange(len(events))[part]
        assert list(places) == sorted(places)
        for place in places:
            row = some[place]
            assert shape.definition.name == row.name
            assert shape.named == (NAMED.lookup(row.args[0]) if row.kind == 0 else None)
        seen += places.tolist()
    assert sorted(seen) == list(range(len(events)))


def test_arguments_stand_where_they_were_stored() -> None:
    [(shape, _)] = Shapes(NUM_ARGS, NAMED).split(batch([Row(0, 0, 0, 0, (2, 2**64 - 5, 1, 9))]))
    events = batch([Row(0, 0, 0, 0, (2, 2**64 - 5, 1, 9))])
    found = {argument.name: argument.value(int(words[0])) for argument, words in shape.words(events)}
    assert (shape.title, found) == ("io", {"result": -5, "ok": True})


def test_without_names_arguments_have_numbers() -> None:
    [(shape, _)] = Shapes(2).split(batch([Row(0, 0, 0, 0, (1, 2))]))
    assert shape.arguments == (Argument("arg1", ArgumentType.HEX), Argument("arg2", ArgumentType.HEX))
    assert (shape.title, shape.number_column) == ("guest_hypertrace", "index")


def test_arguments_beyond_the_channels_are_not_there() -> None:
    [(shape, _)] = Shapes(2, NAMED).split(batch([Row(0, 0, 0, 0, (1, 2))]))
    assert [argument.name for argument in shape.arguments] == ["size"]
    assert Shapes(2).split(batch([])) == []
