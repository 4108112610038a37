"""Extracts the bursts from the trace of a machine.

The clock of a machine is provided by its emulator, and the machine's kernel estimates the rate of the clock at boot. So
a program in a machine measures time with events: a reading of the clock is an event with a separate index. The time
stamps of events come from the host's clock, as for other guests.

Just before each burst, the same loop stores to ordinary memory. This shows the cost of the loop under the emulator
without events. The rest of the cost of an event is due to htrun.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

import htrun
from bench.outcome import Burst, FailedError, Sample
from bench.workshop import Plan

if TYPE_CHECKING:
    from htrun.events.records import Events

READINGS = 8
"""The number of readings of the clock for each burst: before and after the first probe, before and after the stores to
ordinary memory, before and after the burst, and before and after the second probe. The events are between the fifth and
the sixth reading."""


class Emitter(Enum):
    """An emitter of events. The value is the index of its events. Its readings of the clock have the next index."""

    PROGRAM = 0
    KERNEL = 2


def samples(trace: Path, plan: Plan) -> dict[Emitter, Sample]:
    """The sample of each emitter of a machine. Each emitter has executed ``plan``. Raises `FailedError`."""
    events = htrun.open(trace).to_numpy()
    return {emitter: sample_of(events, emitter, plan) for emitter in Emitter}


def sample_of(events: Events, emitter: Emitter, plan: Plan) -> Sample:
    """The sample of one emitter from ``events``, which are in order of time. Raises `FailedError`."""
    mine = events[(events["index"] // 2) == emitter.value // 2]
    clock = np.flatnonzero(mine["index"] != emitter.value)
    bursts = plan.warmup + plan.bursts
    if len(clock) != READINGS * bursts:
        raise FailedError(f"{emitter.name}: {len(clock)} readings of the clock instead of {READINGS * bursts}")
    places = clock.reshape(bursts, READINGS)
    if not np.array_equal(np.diff(places), np.tile([1, 1, 1, 1, plan.events + 1, 1, 1], (bursts, 1))):
        raise FailedError(f"{emitter.name}: the events are not between the readings of the clock")
    times = mine["time"].astype(np.int64)[places]
    before, aside, burst, behind = (
        times[plan.warmup :, last] - times[plan.warmup :, last - 1] for last in (1, 4, 5, 7)
    )
    found = [
        Burst(float(ns) / plan.events, float(probe))
        for ns, probe in zip(burst, np.maximum(before, behind), strict=True)
    ]
    facts = {"ns without events": float(np.median(aside)) / plan.events}
    return Sample(median(each.ns for each in found), facts=facts, bursts=tuple(found))
