"""Time: the meaning of the time stamps in rings.

A timestamp is a reading of a counter of the processor, or, if none is reliable, of CLOCK_MONOTONIC. `Clock` relates it
to the system's clocks by *anchors*: pairs of ticks and nanoseconds that were read at the same moment. Every conversion
takes a fresh anchor first, and a record is always older than its conversion. So every time lies between two anchors,
nothing is extrapolated, and the same ticks always convert to the same time.

The anchors follow CLOCK_MONOTONIC, since it is never set. The wall clock is taken as CLOCK_MONOTONIC plus a constant
that is measured at the start, so setting the wall clock during a run does not affect the run's times.
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
"""The number of latest anchors that are never thinned out: at least two seconds of a drain that runs each millisecond.
"""
_TRIES = 8
"""The number of samples that are taken; the one with the shortest window is used, which had no interrupt or cache miss.
"""


class Sample(NamedTuple):
    """One system clock's time between two readings of the ticks: ``before <= ticks at nanoseconds <= after``."""

    before: int
    nanoseconds: int
    after: int

    @property
    def window(self) -> int:
        """The number of ticks between the readings."""
        return self.after - self.before

    @property
    def middle(self) -> int:
        """The estimated ticks at ``nanoseconds``, off by at most half of `window`."""
        return self.before + self.window // 2


class ClockSource(Protocol):
    """The counter that time stamps are read from."""

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
        """One sample; its window is the time of three Python calls, some 300 ns."""
        before = time.monotonic_ns()
        if clock_id == time.CLOCK_MONOTONIC:
            return Sample(before, before, before)
        return Sample(before, time.clock_gettime_ns(clock_id), time.monotonic_ns())


class Fit(NamedTuple):
    """A straight line through a run: seconds since the epoch = ``offset_seconds`` + (ticks + ``offset_ticks``) /
    ``frequency``.

    ``frequency``: Hz. ``offset_ticks``: below ``frequency``. ``error_ns``: the greatest distance of an anchor from the
    line, plus half the window in which it was read.
    """

    frequency: int
    offset_seconds: int
    offset_ticks: int
    error_ns: int

    def to_realtime_ns(self, ticks: int) -> int:
        """The time of ``ticks``, nanoseconds since the epoch."""
        return self.offset_seconds * _SECOND + (ticks + self.offset_ticks) * _SECOND // self.frequency


class Clock:
    """Converts ticks to nanoseconds. Must be created when the run starts: earlier ticks count as the start.

    ``source``: the counter of the ticks. ``error_ns``: the maximum error of a converted time against CLOCK_REALTIME,
    unless that is set meanwhile, if the clocks' rates are steady between two conversions.
    """

    def __init__(self, source: ClockSource) -> None:
        self.source = source
        real = _tightest(source, time.CLOCK_REALTIME)
        first = _tightest(source, time.CLOCK_MONOTONIC)
        # A rate that is accurate to 1e-4 suffices for the few microseconds between the two samples.
        second = _tightest(source, time.CLOCK_MONOTONIC)
        ticks = second.middle - first.middle
        nanoseconds = second.nanoseconds - first.nanoseconds
        between = (first.middle - real.middle) * nanoseconds // ticks if ticks else 0
        self.realtime_offset = real.nanoseconds + between - first.nanoseconds
        """Nanoseconds from CLOCK_MONOTONIC to the wall clock, as measured at the start."""
        self._half_window = max(real.window, first.window) * nanoseconds // max(ticks, 1) // 2 + 1
        self._anchors = [(first.middle, first.nanoseconds)]

    @property
    def error_ns(self) -> int:
        """The error of an anchor in nanoseconds: half the time of reading the clock, for each of two clocks."""
        return 2 * self._half_window

    def refit(self) -> None:
        """Take a new anchor."""
        last_ticks, last_nanoseconds = self._anchors[-1]
        sample = _tightest(self.source, time.CLOCK_MONOTONIC)
        if sample.middle <= last_ticks:
            return
        # Two anchors that are closer than their own error could seem to go backwards.
        self._anchors.append((sample.middle, max(sample.nanoseconds, last_nanoseconds)))
        if len(self._anchors) > _MAX_ANCHORS:
            self._anchors = _thinned(self._anchors)

    def to_monotonic_ns(self, ticks: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """CLOCK_MONOTONIC at ``ticks``, in nanoseconds.

        Later ticks never give an earlier time, within one call or between calls. Ticks from the future, which only a
        guest that writes to its ring can produce, count as now.
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


def _tightest(source: ClockSource, clock_id: int) -> Sample:
    return min((source.sample(clock_id) for _ in range(_TRIES)), key=lambda sample: sample.window)


def _thinned(anchors: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """All recent anchors, and one per second of the old ones, whose records were all converted long ago."""
    return anchors[:-_RECENT_ANCHORS:2] + anchors[-_RECENT_ANCHORS:]


def _first_needed(anchors: Sequence[tuple[int, int]], ticks: int) -> int:
    """Index of the last anchor that is not after ``ticks``, or 0. Searches from the end, since ticks are recent."""
    for place in range(len(anchors) - 1, 0, -1):
        if anchors[place][0] <= ticks:
            return place
    return 0


def interpolated(
    ticks: NDArray[np.uint64], anchor_ticks: NDArray[np.uint64], anchor_ns: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Nanoseconds at ``ticks``, linearly interpolated between the anchors, and constant beyond them.

    Only differences from an anchor are computed in floating point. They stay below 2**53, so the result is exact to the
    nanosecond, while an absolute time of some 2**60 would lose up to 256.
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

    It is centred on the first anchor, so that every difference is small enough to be exact.
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
    """Weights by the time that an anchor represents, so that a busy second counts no more than a quiet one."""
    if len(ticks) < 3:
        return [1] * len(ticks)
    gaps = [after - before for before, after in pairwise(ticks)]
    return [gaps[0], *(before + after for before, after in pairwise(gaps)), gaps[-1]]
