"""Readings of all clocks of the host at the same moment. With them, traces of other tracers can be converted to the
clock of a trace."""

from __future__ import annotations

import time
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from htrun.events.clock import tightest

if TYPE_CHECKING:
    from htrun.events.clock import ClockSource, Sample


class HostClock(IntEnum):
    """A clock of Linux. The value is its number in <linux/time.h>."""

    MONOTONIC = time.CLOCK_MONOTONIC
    MONOTONIC_RAW = time.CLOCK_MONOTONIC_RAW
    BOOTTIME = time.CLOCK_BOOTTIME
    REALTIME = time.CLOCK_REALTIME


class ClockReading(NamedTuple):
    """One reading of each clock: the time in ns, between two readings of the ticks of the trace's clock."""

    monotonic: Sample
    monotonic_raw: Sample
    boottime: Sample
    realtime: Sample


def read_clocks(source: ClockSource) -> ClockReading:
    """Read all clocks. ``source``: the counter of the ticks. This takes about 100 us."""
    return ClockReading(*(tightest(source, clock) for clock in HostClock))
