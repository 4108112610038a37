"""Time: the meaning of the time stamps in rings.

A time stamp is a reading of the processor's counter, or of CLOCK_MONOTONIC if this counter is not reliable. The unit of
a time stamp is the *tick*. `Clock` relates ticks to the system's clocks by *anchors*: pairs of ticks and nanoseconds
that were read at the same moment. Every conversion first takes a new anchor, and a record is always older than its
conversion. So every time lies between two anchors, no time is extrapolated, and the same ticks always convert to the
same time.

The anchors use CLOCK_MONOTONIC, since this clock is never set. The wall clock is taken as CLOCK_MONOTONIC plus a
constant that is measured at the start, so setting the wall clock during a run does not affect the run's times.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_SECOND = 1_000_000_000
_MAX_ANCHORS = 4096
_RECENT_ANCHORS = 2048
"""The number of recent anchors that are all kept. If the drain runs each millisecond, they cover at least two seconds.
"""
_TRIES = 8
"""The number of samples from which `tightest` chooses the one with the shortest window, since no interrupt or cache
miss has delayed it."""


class Sample(NamedTuple):
    """The time of a system clock, read between two readings of the ticks: ``before <= ticks at nanoseconds <=
    after``."""

    before: int
    nanoseconds: int
    after: int

    @property
    def window(self) -> int:
        """The number of ticks between the readings."""
        return self.after - self.before

    @property
    def middle(self) -> int:
        """The estimated ticks at ``nanoseconds``. The error is at most half of `window`."""
        return self.before + self.window // 2


class ClockSource(Protocol):
    """The counter from which time stamps are read."""

    name: str

    def read(self) -> int:
        """The current ticks."""

    def sample(self, clock_id: int) -> Sample:
        """One sample of the system clock ``clock_id``."""


class MonotonicSource:
    """CLOCK_MONOTONIC in nanoseconds, for processors whose counter is not reliable."""

    name = "monotonic"

    def read(self) -> int:
        """The current ticks."""
        return time.monotonic_ns()

    def sample(self, clock_id: int) -> Sample:
        """One sample. Its window is the duration of three Python calls, about 300 ns."""
        before = time.monotonic_ns()
        if clock_id == time.CLOCK_MONOTONIC:
            return Sample(before, before, before)
        return Sample(before, time.clock_gettime_ns(clock_id), time.monotonic_ns())


class Fit(NamedTuple):
    """A straight line through a run: seconds since the epoch = ``offset_seconds`` + (ticks + ``offset_ticks``) /
    ``frequency``.

    ``frequency``: Hz. ``offset_ticks``: below ``frequency``. ``error_ns``: the greatest distance of an anchor from the
    line, plus half the window in which the anchor was read.
    """

    frequency: int
    offset_seconds: int
    offset_ticks: int
    error_ns: int

    def to_realtime_ns(self, ticks: int) -> int:
        """The time of ``ticks``, nanoseconds since the epoch."""
        return self.offset_seconds * _SECOND + (ticks + self.offset_ticks) * _SECOND // self.frequency


class Clock:
    """Converts ticks to nanoseconds. It must be created when the run starts: ticks before this moment count as the
    start.

    ``source``: the counter of the ticks. ``error_ns``: the maximum error of a converted time compared with
    CLOCK_REALTIME. It holds if the clocks' rates are steady between two conversions, and if CLOCK_REALTIME is not set
    during the run. ``doubt``: why the processor's counter is not the source; empty if it is.
    """

    def __init__(self, source: ClockSource, doubt: str = "") -> None:
        self.source = source
        self.doubt = doubt
        real = tightest(source, time.CLOCK_REALTIME)
        first = tightest(source, time.CLOCK_MONOTONIC)
        # A rate that is accurate to 1e-4 suffices for the few microseconds between the two samples.
        second = tightest(source, time.CLOCK_MONOTONIC)
        ticks = second.middle - first.middle
        nanoseconds = second.nanoseconds - first.nanoseconds
        between = (first.middle - real.middle) * nanoseconds // ticks if ticks else 0
        self.realtime_offset = real.nanoseconds + between - first.nanoseconds
        """Nanoseconds from CLOCK_MONOTONIC to the wall clock, as measured at the start."""
        self._half_window = max(real.window, first.window) * nanoseconds // max(ticks, 1) // 2 + 1
        self._anchors = [(first.middle, first.nanoseconds)]

    @property
    def error_ns(self) -> int:
        """The error of an anchor in nanoseconds: the sum of half the time that it takes to read each of the two
        clocks."""
        return 2 * self._half_window

    def refit(self) -> None:
        """Take a new anchor."""
        last_ticks, last_nanoseconds = self._anchors[-1]
        sample = tightest(self.source, time.CLOCK_MONOTONIC)
        if sample.middle <= last_ticks:
            return
        # Two anchors that are closer than their errors could go backwards.
        self._anchors.append((sample.middle, max(sample.nanoseconds, last_nanoseconds)))
        if len(self._anchors) > _MAX_ANCHORS:
            self._anchors = _thinned(self._anchors)

    def to_monotonic_ns(self, ticks: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """CLOCK_MONOTONIC at ``ticks``, in nanoseconds.

        Later ticks never give an earlier time, neither within one call nor in different calls. Ticks in the future
        count as the current time; only a guest that writes to its ring can produce them.
        """
        import numpy as np

        if not len(ticks):
            return np.empty(0, np.uint64)
        if int(ticks.max()) > self._anchors[-1][0] or len(self._anchors) == 1:
            self.refit()
        anchors = np.array(self._anchors[_first_needed(self._anchors, int(ticks.min())) :], np.uint64)
        return interpolated(ticks, anchors[:, 0], anchors[:, 1])

    def to_realtime_ns(self, ticks: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The wall clock at ``ticks``, in nanoseconds since the epoch; see `to_monotonic_ns`."""
        import numpy as np

        return self.to_monotonic_ns(ticks) + np.uint64(self.realtime_offset)

    def fit(self) -> Fit:
        """The best straight line through the run so far, for formats that have only one clock rate."""
        self.refit()
        return _line(self._anchors, self.realtime_offset, self.error_ns)


def tightest(source: ClockSource, clock_id: int) -> Sample:
    """The best of several samples of the system clock ``clock_id``: the one that took the shortest time."""
    return min((source.sample(clock_id) for _ in range(_TRIES)), key=lambda sample: sample.window)


def _thinned(anchors: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """All recent anchors, and one old anchor per second. The records near old anchors were all converted long ago."""
    return anchors[:-_RECENT_ANCHORS:2] + anchors[-_RECENT_ANCHORS:]


def _first_needed(anchors: Sequence[tuple[int, int]], ticks: int) -> int:
    """The index of the last anchor that is not after ``ticks``; 0 if there is none. The search begins at the end, since
    ticks are recent."""
    for place in range(len(anchors) - 1, 0, -1):
        if anchors[place][0] <= ticks:
            return place
    return 0


def interpolated(
    ticks: NDArray[np.uint64], anchor_ticks: NDArray[np.uint64], anchor_ns: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Nanoseconds at ``ticks``: interpolated linearly between the anchors, and constant before the first and after the
    last anchor.

    Only differences from an anchor are computed in floating point. These differences stay below 2**53, so the result is
    exact to the nanosecond. An absolute time is about 2**60, and floating point would round it to a multiple of 256 ns.
    """
    import numpy as np

    if len(anchor_ticks) == 1:
        return np.full(len(ticks), anchor_ns[0])
    inside = np.clip(ticks, anchor_ticks[0], anchor_ticks[-1])
    rates = np.diff(anchor_ns).astype(np.float64) / np.diff(anchor_ticks).astype(np.float64)
    segment = np.searchsorted(anchor_ticks[1:-1], inside, side="right")
    progress = (inside - anchor_ticks[segment]).astype(np.float64) * rates[segment]
    nanoseconds = anchor_ns[segment] + progress.astype(np.uint64)
    return np.minimum(nanoseconds, anchor_ns[segment + 1])


def _line(anchors: Sequence[tuple[int, int]], realtime_offset: int, error_ns: int) -> Fit:
    """The least-squares line through the anchors.

    The computation is relative to the first anchor, so that every difference is small enough to be exact.
    """
    first_ticks, first_ns = anchors[0]
    points = [(ticks - first_ticks, nanoseconds - first_ns) for ticks, nanoseconds in anchors]
    weights = _weights([ticks for ticks, _ in points])
    total = sum(weights)
    mean_ticks = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    mean_ns = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    covariance = sum(w * (x - mean_ticks) * (y - mean_ns) for w, (x, y) in zip(weights, points, strict=True))
    variance = sum(w * (x - mean_ticks) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    frequency = round(variance / covariance * _SECOND) if covariance else _SECOND
    centre = first_ns + realtime_offset + round(mean_ns)
    origin = centre * frequency - (first_ticks + round(mean_ticks)) * _SECOND
    offset_seconds, rest = divmod(origin, _SECOND * frequency)
    fit = Fit(frequency, offset_seconds, rest // _SECOND, 0)
    residual = max(abs(fit.to_realtime_ns(ticks) - nanoseconds - realtime_offset) for ticks, nanoseconds in anchors)
    return Fit(fit.frequency, fit.offset_seconds, fit.offset_ticks, residual + error_ns)


def _weights(ticks: Sequence[int]) -> list[int]:
    """The weight of each anchor: the time that the anchor represents. So a busy second counts no more than a quiet
    second."""
    if len(ticks) < 3:
        return [1] * len(ticks)
    gaps = [after - before for before, after in pairwise(ticks)]
    return [gaps[0], *(before + after for before, after in pairwise(gaps)), gaps[-1]]
