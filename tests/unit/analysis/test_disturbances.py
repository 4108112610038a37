"""What disturbed a span is the same as in a simple model, which looks at one event after another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from htrun.analysis.timing.disturbances import DISTURBANCE, Disturbances, are_disturbed
from htrun.analysis.timing.ordinals import Ordinals
from htrun.analysis.timing.spans import span_dtype
from htrun.events.definitions import (
    DEFINITIONS,
    HYPERTRACE,
    MIGRATION,
    PAGE_FAULT,
    SCHED_LOST,
    SCHED_SWITCH_IN,
    SCHED_SWITCH_OUT,
    Definition,
)
from htrun.events.records import event_dtype
from htrun.events.stream import Stream
from htrun.reports.disturbances import reason_of

STREAMS = [Stream(1, 1), Stream(2, 1), Stream(2, 1, comm="other")]
"""The last two are the same thread."""
THREADS = (0, 1)
FIRST = 10
"""The time of the first event of each thread."""

Change = tuple[int, int, str]
"""The time since the change before, the thread, and what happens."""
WHAT = st.sampled_from(["switch", "preempt", "fault", "move", "lose"])
CHANGES = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(THREADS), WHAT), max_size=40)


@dataclass
class World:
    """The events of threads, and what happened to each thread at each time."""

    rows: list[tuple[int, int, Definition, tuple[int, ...]]] = field(default_factory=list)
    gaps: list[tuple[int, int, int, bool]] = field(default_factory=list)
    unknown: list[tuple[int, int, int]] = field(default_factory=list)

    def happen(self, changes: list[Change]) -> None:
        now = FIRST
        out: dict[int, tuple[int, bool]] = {}
        for thread in THREADS:
            self.rows.append((now, thread, SCHED_SWITCH_IN, (0,)))
        for later, thread, what in changes:
            now += later
            before = max(time for time, of, *_ in self.rows if of == thread)
            if what == "lose":
                self.rows.append((now, thread, SCHED_LOST, (1,)))
                self.unknown.append((thread, before, now))
            elif thread in out and what in ("switch", "preempt"):
                begin, preempted = out.pop(thread)
                self.gaps.append((thread, begin, now, preempted))
                self.rows.append((now, thread, SCHED_SWITCH_IN, (0,)))
            elif thread not in out and what in ("switch", "preempt"):
                out[thread] = now, what == "preempt"
                self.rows.append((now, thread, SCHED_SWITCH_OUT, (0, int(what == "preempt"))))
            elif thread not in out:
                self.rows.append((now, thread, PAGE_FAULT if what == "fault" else MIGRATION, (7, 1)))
        self.rows.append((now + 1, 0, HYPERTRACE, (1,)))
        self.gaps += [(thread, begin, now + 1, preempted) for thread, (begin, preempted) in out.items()]

    def events(self) -> NDArray[np.void]:
        events = np.zeros(len(self.rows), event_dtype(2))
        for event, (time, thread, kind, arguments) in zip(events, self.rows, strict=True):
            # The second thread uses both of its streams.
            stream = thread + (thread == 1 and time % 2)
            event["time"], event["stream"], event["kind"] = time, stream, DEFINITIONS.index(kind)
            event["args"][: len(arguments)] = arguments
        return events

    def found(self, thread: int, begin: int, end: int) -> tuple[int, ...]:
        """The fields of `DISTURBANCE`."""
        lost = any(of == thread and first < end and last >= begin for of, first, last in self.unknown)
        if lost or begin < FIRST:
            return (0,) * 7
        off = preempted_for = preemptions = waits = 0
        for of, first, last, preempted in self.gaps:
            length = max(min(end, last) - max(begin, first), 0)
            if of == thread:
                off += length
                preempted_for += length * preempted
                if begin <= first < end:
                    preemptions, waits = preemptions + preempted, waits + (not preempted)
        kinds = [kind for time, of, kind, _ in self.rows if of == thread and begin <= time <= end]
        return 1, off, preempted_for, preemptions, waits, kinds.count(PAGE_FAULT), kinds.count(MIGRATION)


def spans_of(*rows: tuple[int, int, int, int]) -> NDArray[np.void]:
    """Spans: the streams and the times of their begins and ends."""
    spans = np.zeros(len(rows), span_dtype())
    for span, (begin_stream, end_stream, begin, end) in zip(spans, rows, strict=True):
        span["begin_stream"], span["end_stream"], span["begin"], span["end"] = begin_stream, end_stream, begin, end
    return spans


@given(CHANGES, st.lists(st.tuples(st.sampled_from(THREADS), st.integers(5, 200), st.integers(0, 100)), max_size=20))
def test_the_same_as_the_model(changes: list[Change], wanted: list[tuple[int, int, int]]) -> None:
    world = World()
    world.happen(changes)
    events = world.events()
    last = int(events["time"][-1])
    wanted = [(thread, begin, min(begin + length, last)) for thread, begin, length in wanted if begin <= last]
    half = len(events) // 2
    batches = [part for part in (events[:half], events[half:]) if len(part)]
    found = Disturbances(STREAMS, batches).within(
        spans_of(*((thread, thread, begin, end) for thread, begin, end in wanted))
    )
    assert [tuple(map(int, row)) for row in found.tolist()] == [world.found(*each) for each in wanted]


def test_a_span_of_two_threads_is_unknown() -> None:
    world = World()
    world.happen([])
    found = Disturbances(STREAMS, [world.events()]).within(spans_of((0, 1, 10, 11), (1, 2, 10, 11), (0, 0, 10, 11)))
    assert found["known"].tolist() == [False, True, True]
    assert are_disturbed(spans_of(*[(0, 0, 10, 11)] * 3), found).tolist() == [True, False, False]


def test_reasons() -> None:
    found = np.zeros(3, DISTURBANCE)
    found[0] = (True, 1_700_000, 1_200_000, 2, 1, 2, 1)
    found[1] = (True, 0, 0, 0, 0, 1, 0)
    assert reason_of(found[0], trapped=False) == "preempted 1.20 ms, waited 500 us, 2 page faults, 1 migration"
    assert reason_of(found[1], trapped=True) == "first event trapped, 1 page fault"
    assert reason_of(found[2], trapped=False) == "switches unknown"


def test_events_of_the_kernel_have_no_ordinals() -> None:
    """They cost the thread nothing, so the duration of a span is not corrected for them."""
    events = np.zeros(5, event_dtype(2))
    events["kind"][[1, 3]] = DEFINITIONS.index(PAGE_FAULT)
    ordinals = Ordinals()
    assert ordinals.of(events).tolist() == [0, 0, 1, 0, 2]
    assert ordinals.of(events[:1]).tolist() == [3]
