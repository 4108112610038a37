"""Spans in which an event trapped are the same as in a simple model, for any division of the events into batches."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from htrun.analysis.timing.first_events import FirstEvents, FirstTimes
from htrun.analysis.timing.spans import Pairer
from htrun.events.definitions import DEFINITIONS, USER_SYSCALL
from htrun.events.named import NamedEvents
from htrun.events.records import event_dtype

NAMED = NamedEvents.parse(
    """
event = [
    {id = 1, name = "job", phase = "begin"},
    {id = 2, name = "job", phase = "end"},
    {id = 3, name = "far", phase = "begin", args = ["key"], key = "key"},
    {id = 4, name = "far", phase = "end", args = ["key"], key = "key"},
    {id = 5, name = "mark"},
]
"""
)
PROCESSES = (10, 10, 20)
"""The processes of streams."""

Steps = list[tuple[int, int, int]]
"""The events: ``arg1``, stream, site."""
STEPS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2), st.integers(0, 3)), max_size=60)


def firsts(steps: Steps) -> list[int]:
    """The numbers of the events that are the first of their stream, or the first of their site in their process. Site 0
    stands for the rings of the channel, whose events are never first events."""
    seen: set[tuple[str, int, int]] = set()
    found = []
    for number, (_, stream, site) in enumerate(steps, start=1):
        marks = {("stream", stream, 0), ("site", PROCESSES[stream], site)} if site else set()
        if marks - seen:
            found.append(number)
        seen |= marks
    return found


@given(STEPS, st.lists(st.integers(0, 60)))
def test_spans_with_a_first_event_of_their_threads(steps: Steps, cuts: list[int]) -> None:
    events = np.zeros(len(steps), event_dtype(2))
    for place, (arg1, stream, site) in enumerate(steps):
        events[place] = (1000 + place, stream, 0, site, 0, 0, 0, [arg1, 0])
    pairer = Pairer(NAMED, first_events=FirstEvents(PROCESSES))
    found = firsts(steps)
    for batch in np.split(events, sorted(cut for cut in cuts if cut <= len(steps))):
        for span in pairer.feed(batch):
            streams = (span["begin_stream"], span["end_stream"])
            inner = range(int(span["begin_number"]), int(span["end_number"]) + 1)
            held = any(number in inner and steps[number - 1][1] in streams for number in found)
            assert span["trapped"] == held


@given(STEPS, st.lists(st.integers(0, 60)), st.lists(st.tuples(*[st.integers(0, 70)] * 2, st.integers(0, 2))))
def test_intervals_with_a_first_event(steps: Steps, cuts: list[int], intervals: list[tuple[int, int, int]]) -> None:
    events = np.zeros(len(steps), event_dtype(2))
    for place, (arg1, stream, site) in enumerate(steps):
        events[place] = (1000 + place, stream, 0, site, 0, 0, 0, [arg1, 0])
    times = FirstTimes(PROCESSES, np.split(events, sorted(cut for cut in cuts if cut <= len(steps))))
    ends, others, streams = (np.array([each[field] for each in intervals], np.uint64) for field in range(3))
    begin, end = np.minimum(ends, others) + np.uint64(990), np.maximum(ends, others) + np.uint64(990)
    found = [(steps[number - 1][1], 999 + number) for number in firsts(steps)]
    expected = [
        any(first <= time <= last and of == stream for of, time in found)
        for first, last, stream in zip(begin.tolist(), end.tolist(), streams.tolist(), strict=True)
    ]
    assert times.within(streams.astype(np.uint32), begin, end).tolist() == expected


def test_a_system_call_is_no_event_of_a_site() -> None:
    events = np.zeros(4, event_dtype(2))
    for place, arg1 in enumerate([5, 0, 1, 2]):
        events[place] = (1000 + place, 0, 0, place if arg1 == 0 else 7, 0, 0, 0, [arg1, 0])
    events["kind"][1] = DEFINITIONS.index(USER_SYSCALL)
    [span] = Pairer(NAMED, first_events=FirstEvents(PROCESSES)).feed(events)
    assert not span["trapped"]
