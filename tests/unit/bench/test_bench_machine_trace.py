"""Bursts in the trace of a machine that measures time by events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.machine_trace import READINGS, Emitter, sample_of
from bench.outcome import FailedError
from bench.workshop import Plan
from htrun.events.records import event_dtype

if TYPE_CHECKING:
    from htrun.events.records import Events

PLAN = Plan(events=10, bursts=2, warmup=1, singles=0)
BURST = (
    # The time since the previous one, and whether it is a reading of the clock.
    *((100, True), (40, True), (5, True), (5, True), (30, True)),
    *((7, False),) * 10,
    *((7, True), (3, True), (44, True)),
)


def events_of(emitter: Emitter) -> Events:
    """What an emitter does three times; the first burst is slower."""
    steps = [(time * (10 if burst == 0 else 1), clock) for burst in range(3) for time, clock in BURST]
    events = np.zeros(len(steps), event_dtype(4))
    events["time"] = np.cumsum([time for time, _ in steps])
    events["index"] = [emitter.value + clock for _, clock in steps]
    return events


@pytest.mark.parametrize("emitter", Emitter)
def test_bursts_are_timed_by_the_readings(emitter: Emitter) -> None:
    other = Emitter.KERNEL if emitter is Emitter.PROGRAM else Emitter.PROGRAM
    found = sample_of(np.concatenate([events_of(other), events_of(emitter)]), emitter, PLAN)
    assert [(burst.ns, burst.probe) for burst in found.bursts] == [(7.7, 44.0), (7.7, 44.0)]
    assert found.value == 7.7
    assert found.facts == {"ns without events": 3.0}


def test_a_missing_reading_is_a_failure() -> None:
    events = events_of(Emitter.PROGRAM)
    with pytest.raises(FailedError, match=f"{3 * READINGS - 1} readings of the clock instead of {3 * READINGS}"):
        sample_of(events[1:], Emitter.PROGRAM, PLAN)


def test_a_missing_event_is_a_failure() -> None:
    events = np.delete(events_of(Emitter.PROGRAM), 7)
    with pytest.raises(FailedError, match="not between the readings of the clock"):
        sample_of(events, Emitter.PROGRAM, PLAN)
