"""Events of several threads are sorted by time, independently of the times at which their rings are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from htrun.events.order import TimeOrder
from htrun.events.records import event_dtype
from htrun.hosts.x86_64.counter import best_clock

if TYPE_CHECKING:
    from htrun.events.records import Events

LONG = 50_000_000
"""A time in ns that is longer than the time for which events are held back."""


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time of a clock that only changes when it is set, in ns since its start."""
    clock = [0]
    monkeypatch.setattr("htrun.events.order.time.monotonic_ns", lambda: clock[0])
    return clock


def events_at(*times: int) -> Events:
    events = np.zeros(len(times), event_dtype(1))
    events["time"] = times
    return events


def test_a_drain_that_stands_still_between_two_rings_keeps_the_order(now: list[int]) -> None:
    """The ring of the first thread is read before it contains the record. The ring of the second thread is read much
    later. The event of the second thread is later."""
    clock = best_clock()

    def stamp() -> int:
        return int(clock.to_realtime_ns(np.array([clock.source.read()], np.uint64))[0])

    held = TimeOrder(clock)
    older = stamp()
    younger = older + 1
    held.begin_round()
    assert held.take(everything=False) is None
    held.begin_round()
    held.add(events_at(younger))
    now[0] += LONG
    found = [held.take(everything=False)]
    held.begin_round()
    held.add(events_at(older))
    now[0] += LONG
    found += [held.take(everything=False), held.take(everything=True)]
    assert [int(time) for events in found if events is not None for time in events["time"]] == [older, younger]
