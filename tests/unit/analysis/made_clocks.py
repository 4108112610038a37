"""A made-up host: clocks with known true relations, and readings of them with made-up windows."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from htrun.events.clock_readings import HostClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SECOND = 1_000_000_000
RAW_START, MONOTONIC_START, REAL_START = 5 * SECOND, 7 * SECOND, 1_700_000_000 * SECOND


@dataclass
class MadeHost:
    """A host whose clocks are functions of the true time in ns since its start.

    ``frequency``: the rate of the ticks in GHz. ``rates``: for CLOCK_MONOTONIC, pairs of a time and the rate from this
    time on. ``steps``: for CLOCK_REALTIME, pairs of a time and the change in ns. ``suspends``: the same for
    CLOCK_BOOTTIME.
    """

    frequency: float = 2.1
    rates: Sequence[tuple[int, float]] = ((0, 1.0),)
    steps: Sequence[tuple[int, int]] = ()
    suspends: Sequence[tuple[int, int]] = ()
    _at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = [(later - begin) * rate for (begin, rate), (later, _) in pairwise(self.rates)]
        self._at = list(accumulate(parts, initial=0.0))

    def ticks(self, true: int) -> int:
        return 10_000_000_000 + round(true * self.frequency)

    def time(self, clock: HostClock, true: int) -> int:
        if clock is HostClock.MONOTONIC_RAW:
            return RAW_START + true
        place = max(number for number, (begin, _) in enumerate(self.rates) if begin <= true)
        begin, rate = self.rates[place]
        monotonic = MONOTONIC_START + int(self._at[place] + (true - begin) * rate)
        if clock is HostClock.MONOTONIC:
            return monotonic
        changes = self.steps if clock is HostClock.REALTIME else self.suspends
        start = REAL_START if clock is HostClock.REALTIME else 0
        return monotonic + start + sum(change for when, change in changes if when <= true)

    def readings(self, times: Sequence[int], seed: int, window: int = 60) -> NDArray[np.uint64]:
        """Readings at the true ``times``. The windows take up to ``window`` ns."""
        chance = random.Random(seed)
        rows = []
        for time in times:
            row, now = [], time
            for clock in HostClock:
                before, after = chance.randint(1, window), chance.randint(1, window)
                now += before
                row.append((self.ticks(now - before), self.time(clock, now), self.ticks(now + after)))
                now += after
            rows.append(row)
        return np.array(rows, np.uint64)
