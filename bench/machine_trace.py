"""Extracts the bursts from the trace of a machine.

A machine's clock is its emulator's, and its rate is an estimate by the machine's kernel at boot. So a program there
measures time by events: a reading of the clock is an event with a separate index. Its time stamp is the host's, like
those of the other guests.

The same loop with stores to ordinary memory, just before each burst, shows what the emulator's translation of the guest
costs by itself: the rest of an event's cost is htrun's.
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
"""The number of readings of the clock for each burst: around the probe before it, around the stores to ordinary memory,
at the burst's begin and end, and around the probe after it. The events are between the fifth and the sixth reading."""


class Emitter(Enum):
    """An emitter. The value is the index of its events; the next index is that of its readings of the clock."""

    PROGRAM = 0
    KERNEL = 2


def samples(trace: Path, plan: Plan) -> dict[Emitter, Sample]:
    """The sample of each emitter of a machine, in which all emitters have executed ``plan``. Raises `FailedError`."""
    events = htrun.open(trace).to_numpy()
    return {emitter: sample_of(events, emitter, plan) for emitter in Emitter}


def sample_of(events: Events, emitter: Emitter, plan: Plan) -> Sample:
    """The sample of one emitter among ``events``, which are in the order of their times. Raises `FailedError`."""
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
