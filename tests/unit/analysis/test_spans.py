"""Spans are the same pairs as in a simple model, for any division of the events into batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.analysis.timing import spans as spans_module
from htrun.analysis.timing.spans import Pairer, Unpaired
from htrun.errors import HtrunError
from htrun.events.calibration import EMPTY, PAIRS
from htrun.events.losses import Loss
from htrun.events.named import NamedEvents
from htrun.events.records import event_dtype

if TYPE_CHECKING:
    from htrun.events.records import Events

NAMED = NamedEvents.parse(
    """
event = [
    {id = 1, name = "outer", phase = "begin"},
    {id = 2, name = "outer", phase = "end"},
    {id = 3, name = "inner", phase = "begin", args = ["size"]},
    {id = 4, name = "inner", phase = "end"},
    {id = 5, name = "job", phase = "begin", args = ["key", "what"], key = "key"},
    {id = 6, name = "job", phase = "end", args = ["result", "key"], key = "key"},
    {id = 7, name = "mark"},
]
"""
)
JOB_KEY = {5: 1, 6: 2}
"""The index of the key among the arguments."""

Step = tuple[int, int, int]
"""An event: ``arg1``, its stream, its key."""
Pair = tuple[str, int, int, int, int, int, int]
"""Name, numbers of begin and end, depth, steps, parent, key."""


def events_of(steps: list[Step], begin: int = 1000, gap: int = 10) -> Events:
    """Events of ``steps``, ``gap`` ns apart."""
    events = np.zeros(len(steps), event_dtype(4))
    for place, (arg1, stream, key) in enumerate(steps):
        args = [arg1, 0, 0, 0]
        args[JOB_KEY.get(arg1, 3)] = key
        events[place] = (begin + gap * place, stream, 0, 0, 0, 0, 0, args)
    return events


@dataclass
class Model:
    """Pairs events one after the other."""

    spans: list[Pair] = field(default_factory=list)
    unpaired: dict[str, Unpaired] = field(default_factory=dict)

    def run(self, steps: list[Step]) -> Model:
        """Pair all of ``steps``."""
        stacks: dict[tuple[str, int], list[tuple[int, int, int, int]]] = {}
        ordinals: dict[int, int] = {}
        around: dict[int, list[int]] = {}
        for number, (arg1, stream, key) in enumerate(steps, 1):
            ordinals[stream] = ordinals.get(stream, 0) + 1
            if arg1 == 7:
                continue
            name = {1: "outer", 2: "outer", 3: "inner", 4: "inner", 5: "job", 6: "job"}[arg1]
            keyed = name == "job"
            stack = stacks.setdefault((name, key if keyed else stream), [])
            if arg1 % 2:
                open_ = around.setdefault(stream, [])
                stack.append((number, len(open_), ordinals[stream], open_[-1] if open_ else 0))
                if not keyed:
                    open_.append(number)
            elif stack:
                begin, depth, ordinal, parent = stack.pop()
                steps_between = 1 if keyed else ordinals[stream] - ordinal
                self.spans.append((name, begin, number, depth, steps_between, parent, key if keyed else 0))
                if not keyed:
                    around[stream].remove(begin)
            else:
                self.unpaired.setdefault(name, Unpaired()).ends += 1
        for (name, _), stack in stacks.items():
            if stack:
                self.unpaired.setdefault(name, Unpaired()).begins += len(stack)
        return self


_NUMBERS = ("begin_number", "end_number", "depth", "steps", "parent", "key")


def paired(events: Events, sizes: list[int], *, losses: tuple[Loss, ...] = ()) -> tuple[list[Pair], object]:
    """The results of the pairer for ``events``, in batches of the given ``sizes`` and a last batch with the rest."""
    pairer = Pairer(NAMED, losses, nesting=True)
    found: list[Pair] = []
    for batch in np.split(events, np.cumsum(sizes)):
        for span in pairer.feed(batch):
            name = pairer.names[span["name"]]
            first, last, depth, between, parent, key = (int(span[field]) for field in _NUMBERS)
            found.append((name, first, last, depth, between, parent, key))
            assert (span["begin"], span["end"]) == (events["time"][first - 1], events["time"][last - 1])
    return found, pairer.finish()


steps = st.tuples(st.integers(1, 7), st.integers(0, 2), st.integers(0, 1))


@given(st.lists(steps, max_size=60), st.lists(st.integers(0, 20), max_size=5))
def test_the_pairs_are_those_of_a_plain_reading_in_any_batches(steps: list[Step], sizes: list[int]) -> None:
    model = Model().run(steps)
    # With 10 ns between events, every early end would be near enough to the begin of its key to be counted as negative.
    events = events_of(steps)
    spans_at_distance = pytest.MonkeyPatch()
    spans_at_distance.setattr(spans_module, "_MOST_NEGATIVE", 0)
    try:
        found, unpaired = paired(events, sizes)
    finally:
        spans_at_distance.undo()
    assert found == model.spans
    assert unpaired == model.unpaired


@pytest.mark.parametrize("seed", range(20))
def test_spans_within_spans(seed: int) -> None:
    """Long lists with many spans, at all depths, some of which overlap without nesting. Short lists rarely contain such
    spans."""
    random = Random(seed)
    sizes = [random.randint(1, 60) for _ in range(seed % 4)]
    marks = [(random.choices((1, 2, 3, 4, 5, 6), (4, 3, 4, 3, 1, 1))[0], random.randrange(2), 0) for _ in range(120)]
    model = Model().run(marks)
    found, _ = paired(events_of(marks, gap=10**6), sizes)
    assert found == model.spans
    assert max(span[3] for span in found) > 1


def test_names_tell_spans_apart_even_if_they_cross() -> None:
    found, unpaired = paired(events_of([(1, 0, 0), (3, 0, 0), (2, 0, 0), (4, 0, 0)]), [])
    assert found == [("outer", 1, 3, 0, 2, 0, 0), ("inner", 2, 4, 1, 2, 1, 0)]
    assert not unpaired


def test_a_key_pairs_across_threads() -> None:
    found, unpaired = paired(events_of([(5, 0, 2**63), (5, 1, 9), (6, 2, 2**63), (6, 0, 9)]), [1])
    assert found == [("job", 1, 3, 0, 1, 0, 2**63), ("job", 2, 4, 0, 1, 0, 9)]
    assert not unpaired


def test_an_end_that_comes_just_before_its_begin_is_negative() -> None:
    events = events_of([(6, 1, 8), (5, 0, 8), (5, 0, 3)])
    _, unpaired = paired(events, [1])
    assert unpaired == {"job": Unpaired(begins=1, negative=1)}
    events["time"][1:] += 10**9
    pairer = Pairer(NAMED)
    pairer.feed(events)
    assert pairer.finish() == {"job": Unpaired(begins=2, ends=1)}


def test_nothing_is_paired_across_a_loss() -> None:
    # Events are lost between the 2nd and the 3rd event, for example an inner end and an inner begin.
    steps = [(1, 0, 0), (3, 0, 0), (4, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0), (3, 1, 0), (4, 1, 0), (1, 0, 0)]
    found, unpaired = paired(events_of(steps), [3], losses=(Loss(0, 1010, 1020, 2),))
    assert found == [("inner", 5, 6, 0, 1, 0, 0), ("inner", 7, 8, 0, 1, 0, 0)]
    # No event follows the last begin, so nothing was lost: there is no end.
    assert unpaired == {"outer": Unpaired(begins=1, lost=2), "inner": Unpaired(lost=2)}


def test_what_lies_within_a_loss_is_not_paired_at_all() -> None:
    steps = [(3, 0, 0), (4, 0, 0), (3, 0, 0), (4, 0, 0), (3, 0, 0), (4, 0, 0)]
    losses = (Loss(0, 1010, 1040, 5), Loss(0, 1015, 1030, 5))
    found, unpaired = paired(events_of(steps), [], losses=losses)
    assert found == [("inner", 1, 2, 0, 1, 0, 0), ("inner", 5, 6, 0, 1, 0, 0)]
    assert unpaired == {"inner": Unpaired(lost=2)}


def test_a_loss_of_any_thread_makes_spans_with_a_key_doubtful() -> None:
    found, unpaired = paired(
        events_of([(5, 0, 1), (5, 0, 2), (6, 1, 2), (6, 1, 1)]), [], losses=(Loss(7, 1012, 1018, 1),)
    )
    assert not found
    assert unpaired == {"job": Unpaired(lost=4)}


def test_calibration_pairs_need_no_names() -> None:
    pairer = Pairer(None)
    spans = pairer.feed(events_of([(number, 0, 0) for pair in PAIRS for number in (pair.begin, pair.end)]))
    assert [pairer.names[name] for name in spans["name"]] == [pair.name for pair in PAIRS] == list(pairer.names)
    assert pairer.names.own == ()
    assert not pairer.names.are_own(spans).any()
    assert not pairer.finish()


def test_calibration_is_not_what_a_user_calls_so() -> None:
    pairer = Pairer(
        NamedEvents.parse(f"""event = [
        {{id = 1, name = "{EMPTY.name}", phase = "begin"}}, {{id = 2, name = "{EMPTY.name}", phase = "end"}}
    ]""")
    )
    spans = pairer.feed(events_of([(EMPTY.begin, 0, 0), (1, 0, 0), (2, 0, 0), (EMPTY.end, 0, 0), (EMPTY.begin, 0, 0)]))
    assert spans["name"].tolist() == [0, 1]
    assert len(pairer.names.own) == 1
    # An event without its partner is not reported to the user.
    assert not pairer.finish()


def test_arguments_come_with_the_spans_on_request() -> None:
    pairer = Pairer(NAMED, num_args=3)
    events = events_of([(5, 0, 77), (6, 0, 77)])
    (span,) = pairer.feed(events)
    assert span["begin_args"].tolist() == [5, 77, 0]
    assert span["end_args"].tolist() == [6, 0, 77]


def test_too_many_open_spans_are_given_up_from_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "MOST_OPEN", 3)
    pairer = Pairer(NAMED)
    assert not len(pairer.feed(events_of([(1, 0, 0)] * 5)))
    assert len(pairer.open) == 3
    assert len(pairer.feed(events_of([(2, 0, 0)] * 4, begin=5000))) == 3
    assert pairer.finish() == {"outer": Unpaired(begins=2, ends=1)}


def test_a_key_that_the_channel_has_no_room_for_is_said() -> None:
    events = np.zeros(1, event_dtype(2))
    events["args"] = [6, 0]
    with pytest.raises(HtrunError, match="the key of 'job' is arg3"):
        Pairer(NAMED).feed(events)
