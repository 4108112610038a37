"""Converts times between the clocks of a host: the ticks of a trace, and the clocks of Linux.

A native trace contains readings of all clocks, about one a second (`htrun.ctf.clock_file`). The conversion is piecewise
linear between readings, with a bound of its error. CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW have a rate that changes
little. CLOCK_BOOTTIME and CLOCK_REALTIME differ from CLOCK_MONOTONIC by a constant, except when the machine was
suspended or the clock was set: a *step*. A step divides the time of the clock into epochs. The readings show between
which two of them a step was, and the times of the events before and after it show the rest.

A bound consists of the time that it takes to read a clock, and of the change of the clock's rate from one interval
between readings to the next. It assumes that the rate changes at most once in two such intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import numpy as np

from htrun.ctf.clock_file import NAME
from htrun.ctf.recorded_clocks import read_clock_file
from htrun.errors import HtrunError
from htrun.events.clock_readings import HostClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SECOND = 1_000_000_000
_DRIFT = 1e-5
"""The change of the rate of a disciplined clock that is assumed outside the readings."""
_ROUNDING_NS = 2
"""The rounding error of a difference of two clocks in ns."""
_FAR = np.iinfo(np.int64).max // 4


class Converted(NamedTuple):
    """Times by another clock. ``times``: in the unit of that clock (ticks or ns). ``errors``: the maximum error of each
    of them, in the same unit."""

    times: NDArray[np.uint64]
    errors: NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """A change of the difference between a clock and CLOCK_MONOTONIC, by ``change`` ns. It was after the reading
    ``after`` and before the next reading (both counted from 0)."""

    clock: HostClock
    after: int
    change: int


class HostClocks:
    """The clocks of a host during one run. ``counter``, ``boot``: see `htrun.ctf.recorded_clocks.RecordedClocks`."""

    def __init__(self, readings: NDArray[np.uint64], source: str) -> None:
        """``readings``: see `htrun.ctf.recorded_clocks.RecordedClocks`. ``source``: their file, for messages. Raises
        `HtrunError` if they are too few, or impossible."""
        self.counter = ""
        self.boot = UUID(int=0)
        self._readings = _valid(readings, source)
        middle = _middles(self._readings)
        half = (self._readings[:, :, 2] - self._readings[:, :, 0]) / 2
        clocks = list(HostClock)
        raw, monotonic = clocks.index(HostClock.MONOTONIC_RAW), clocks.index(HostClock.MONOTONIC)
        raw_line = _Line(self._readings[:, raw, 1], middle[:, raw], half[:, raw])
        line = _Line(self._readings[:, monotonic, 1], middle[:, monotonic], half[:, monotonic], raw_line.rate)
        self._lines = {HostClock.MONOTONIC: line, HostClock.MONOTONIC_RAW: raw_line}
        self._epochs = {
            HostClock.MONOTONIC: [_Epoch(0, 0, -_FAR, _FAR, 0)],
            HostClock.MONOTONIC_RAW: [_Epoch(0, 0, -_FAR, _FAR, 0)],
            **{each: self._found_epochs(each, middle, half) for each in (HostClock.BOOTTIME, HostClock.REALTIME)},
        }

    @classmethod
    def of_trace(cls, trace: Path) -> HostClocks | None:
        """The clocks of the host of the native trace in the directory ``trace``; None if it has no readings. Raises
        `HtrunError`."""
        recorded = read_clock_file(trace)
        if recorded is None:
            return None
        clocks = cls(recorded.readings, str(trace / NAME))
        clocks.counter, clocks.boot = recorded.counter, recorded.boot
        return clocks

    @property
    def frequency(self) -> float:
        """The mean rate of the ticks in Hz."""
        return self._lines[HostClock.MONOTONIC_RAW].rate * _SECOND

    @property
    def count(self) -> int:
        """The number of readings."""
        return len(self._readings)

    @property
    def window_ns(self) -> int:
        """The longest time that it took to read a clock."""
        return round(float((self._readings[:, :, 2] - self._readings[:, :, 0]).max()) / self.frequency * _SECOND)

    @property
    def steps(self) -> Sequence[Step]:
        """The steps of all clocks."""
        return [
            Step(clock, later.first_reading - 1, later.offset - before.offset)
            for clock, epochs in self._epochs.items()
            for before, later in pairwise(epochs)
        ]

    def converter(self, clock: HostClock) -> Converter:
        """A converter of times of ``clock`` to ticks. Each stream of events needs its own converter."""
        return Converter(self._line(clock), self._epochs[clock])

    def from_ticks(self, ticks: NDArray[np.uint64], clock: HostClock) -> Converted:
        """The times of ``clock`` at ``ticks``, in ns. Between the two readings around a step, the time before the step
        is returned, and the error includes the step."""
        times, errors = self._line(clock).inverse(ticks.astype(np.int64))
        epochs = self._epochs[clock]
        starts = np.array([epoch.begin for epoch in epochs[1:]], np.int64)
        ends = np.array([epoch.end for epoch in epochs], np.int64)
        # An epoch begins at the earliest possible moment of the step, and the one before ends at the latest.
        number = np.searchsorted(ends[:-1], ticks.astype(np.int64))
        offsets = np.array([epoch.offset for epoch in epochs], np.int64)
        errors = errors + np.array([epoch.half for epoch in epochs])[number]
        for place, start in enumerate(starts.tolist()):
            doubtful = (number == place) & (ticks.astype(np.int64) > start)
            errors[doubtful] += abs(epochs[place + 1].offset - epochs[place].offset)
        return Converted((times + offsets[number]).astype(np.uint64), errors)

    def _line(self, clock: HostClock) -> _Line:
        return self._lines[HostClock.MONOTONIC_RAW if clock is HostClock.MONOTONIC_RAW else HostClock.MONOTONIC]

    def _found_epochs(self, clock: HostClock, middle: NDArray[np.int64], half: NDArray[np.float64]) -> list[_Epoch]:
        """The epochs of ``clock``. The difference to CLOCK_MONOTONIC of each reading lies in an interval. A step lies
        where the intervals have no point in common."""
        place, monotonic = list(HostClock).index(clock), list(HostClock).index(HostClock.MONOTONIC)
        rate = self._lines[HostClock.MONOTONIC].rate
        apart = np.rint((middle[:, place] - middle[:, monotonic]) / rate).astype(np.int64)
        times = self._readings[:, :, 1].astype(np.int64)
        offsets = times[:, place] - times[:, monotonic] - apart
        doubts = np.ceil((half[:, place] + half[:, monotonic]) / rate).astype(np.int64) + _ROUNDING_NS
        spans: list[tuple[int, int, int]] = []
        lows, highs = (offsets - doubts).tolist(), (offsets + doubts).tolist()
        for number, (low, high) in enumerate(zip(lows, highs, strict=True)):
            if spans and max(spans[-1][1], low) <= min(spans[-1][2], high):
                spans[-1] = (spans[-1][0], max(spans[-1][1], low), min(spans[-1][2], high))
            else:
                spans.append((number, low, high))
        return _epochs(spans, middle[:, place])


class _Epoch(NamedTuple):
    """A time in which a clock differs from CLOCK_MONOTONIC by ``offset`` ns, with an error of at most ``half`` ns.

    ``begin``, ``end``: the ticks between which the epoch lies. ``first_reading``: its first reading.
    """

    offset: int
    half: float
    begin: int
    end: int
    first_reading: int


def _epochs(spans: Sequence[tuple[int, int, int]], middle: NDArray[np.int64]) -> list[_Epoch]:
    epochs = []
    for number, (first, low, high) in enumerate(spans):
        begin = int(middle[first - 1]) if number else -_FAR
        end = int(middle[spans[number + 1][0]]) if number + 1 < len(spans) else _FAR
        epochs.append(_Epoch((low + high) // 2, (high - low) / 2 + 1, begin, end, first))
    return epochs


class Converter:
    """Converts the times of one stream of events to ticks, batch by batch.

    If the clock was turned back, the same time may occur twice. So the times must be in the order of the stream. As
    long as they do not go back, the first of the two moments is returned, with an error that includes the second.
    """

    def __init__(self, line: _Line, epochs: Sequence[_Epoch]) -> None:
        self._line = line
        self._epochs = epochs
        self._current = -1
        self._last = 0

    def to_ticks(self, times: NDArray[np.uint64]) -> Converted:
        """The ticks at ``times``, in ns."""
        nanoseconds = times.astype(np.int64)
        ticks = np.zeros(len(times), np.int64)
        errors = np.zeros(len(times))
        if len(times) and self._current < 0:
            self._current = self._later(0, int(nanoseconds[0]), 0)
        place = 0
        while place < len(times):
            rest = nanoseconds[place:]
            place += self._within_epoch(rest, ticks[place:], errors[place:])
        if len(times):
            self._last = int(nanoseconds[-1])
        return Converted(np.maximum(ticks, 0).astype(np.uint64), errors)

    def _within_epoch(self, times: NDArray[np.int64], ticks: NDArray[np.int64], errors: NDArray[np.float64]) -> int:
        """Convert the first of ``times``, as many as are in one epoch. Returns their number."""
        chosen = self._current
        found, doubts = self._of_epoch(chosen, times)
        count = len(times)
        if chosen + 1 < len(self._epochs):
            back = np.diff(times, prepend=times[:1] if not self._last else np.array([self._last])) < 0
            for place in np.flatnonzero(back | (found > self._epochs[chosen].end)).tolist():
                later = self._later(chosen + 1, int(times[place]), chosen)
                if later != chosen:
                    self._current, count = later, place
                    self._last = 0
                    break
                if not back[place]:
                    # A time that the clock never showed: all times until it goes back are like this.
                    break
        self._fill(chosen, times[:count], found[:count], doubts[:count], ticks, errors)
        return count

    def _fill(
        self,
        chosen: int,
        times: NDArray[np.int64],
        found: NDArray[np.int64],
        doubts: NDArray[np.float64],
        ticks: NDArray[np.int64],
        errors: NDArray[np.float64],
    ) -> None:
        epoch = self._epochs[chosen]
        inside = np.clip(found, epoch.begin, epoch.end)
        ticks[: len(times)] = inside
        errors[: len(times)] = doubts + np.abs(found - inside)
        # The same time may be that of a later epoch. Earlier epochs are excluded, since the times are in order.
        for number in range(chosen + 1, len(self._epochs)):
            also, _ = self._of_epoch(number, times)
            possible = (also >= self._epochs[number].begin) & (also <= self._epochs[number].end)
            apart = np.abs(also - inside) + self._epochs[number].half * self._line.rate
            errors[: len(times)][possible] = np.maximum(errors[: len(times)], doubts + apart)[possible]

    def _of_epoch(self, number: int, times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        epoch = self._epochs[number]
        found, doubts = self._line.convert(times - epoch.offset)
        return found, doubts + epoch.half * self._line.rate

    def _later(self, first: int, time: int, otherwise: int) -> int:
        """The number of the first epoch from ``first`` on that contains ``time``; ``otherwise`` if there is none."""
        for number in range(first, len(self._epochs)):
            ticks = int(self._of_epoch(number, np.array([time], np.int64))[0][0])
            if self._epochs[number].begin <= ticks <= self._epochs[number].end:
                return number
        return otherwise


class _Line:
    """The ticks in relation to a clock without steps: straight lines between readings, and beyond the first and the
    last reading."""

    def __init__(
        self,
        times: NDArray[np.uint64],
        ticks: NDArray[np.int64],
        half: NDArray[np.float64],
        steady: float | None = None,
    ) -> None:
        """``times``: of the clock, in ns. ``half``: the possible error of each of ``ticks``. ``steady``: the rate of
        CLOCK_MONOTONIC_RAW; None if this is that clock, whose rate does not change."""
        kept = _increasing(times.astype(np.int64), ticks)
        self._times, self._ticks, self._half = times.astype(np.int64)[kept], ticks[kept], half[kept]
        apart = np.diff(self._times)
        self._rates = np.diff(self._ticks) / apart
        self.rate = float((self._ticks[-1] - self._ticks[0]) / (self._times[-1] - self._times[0]))
        """Ticks a nanosecond."""
        doubts = (self._half[1:] + self._half[:-1]) / apart
        self._bends = _changes(self._rates, doubts, self.rate if steady is None else steady) * apart
        self._drift = 0.0 if steady is None else self.rate * _DRIFT
        self._doubt = float((self._half[-1] + self._half[0]) / (self._times[-1] - self._times[0]))

    def convert(self, times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The ticks at ``times``, and the maximum error of each of them."""
        place = self._segment(self._times, times)
        since = (times - self._times[place]).astype(np.float64)
        ticks = self._ticks[place] + np.rint(since * self._rate_at(self._times, times, place)).astype(np.int64)
        return ticks, self._errors(self._times, times, place)

    def inverse(self, ticks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The times of the clock at ``ticks``, and the maximum error of each of them in ns."""
        place = self._segment(self._ticks, ticks)
        since = (ticks - self._ticks[place]).astype(np.float64)
        times = self._times[place] + np.rint(since / self._rate_at(self._ticks, ticks, place)).astype(np.int64)
        return times, self._errors(self._times, times, place) / self.rate

    @staticmethod
    def _segment(anchors: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the anchor from which each value is measured. A value after the last anchor is measured from
        the last anchor."""
        place = np.searchsorted(anchors, values, side="right") - 1
        return np.clip(place, 0, len(anchors) - 1)

    def _rate_at(
        self, anchors: NDArray[np.int64], values: NDArray[np.int64], place: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        rates = self._rates[np.minimum(place, len(self._rates) - 1)]
        outside = (values < anchors[0]) | (values > anchors[-1])
        return np.where(outside, self.rate, rates)

    def _errors(
        self, anchors: NDArray[np.int64], values: NDArray[np.int64], place: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        segment = np.minimum(place, len(self._rates) - 1)
        near = np.maximum(self._half[segment], self._half[segment + 1])
        beyond = np.maximum(np.maximum(anchors[0] - values, values - anchors[-1]), 0)
        inside = beyond == 0
        spread = float(np.abs(self._rates - self.rate).max()) if self._drift else 0.0
        outside = beyond * (self._doubt + self._drift + spread)
        errors: NDArray[np.float64] = near + 1 + np.where(inside, self._bends[segment], outside)
        return errors


def _changes(rates: NDArray[np.float64], doubts: NDArray[np.float64], steady: float) -> NDArray[np.float64]:
    """How much the rate of each segment differs from those of its neighbours, beyond the ``doubts`` about the rates. If
    there are no neighbours, it is compared with ``steady``."""
    if len(rates) == 1:
        changes: NDArray[np.float64] = np.maximum(np.abs(rates - steady) - 2 * doubts, 0)
        return changes
    between = np.maximum(np.abs(np.diff(rates)) - doubts[1:] - doubts[:-1], 0)
    largest: NDArray[np.float64] = np.maximum(np.append(between, 0), np.insert(between, 0, 0))
    return largest


def _increasing(times: NDArray[np.int64], ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of readings that are later than all earlier ones."""
    later = np.ones(len(times), np.bool_)
    for values in (times, ticks):
        before = np.maximum.accumulate(values)[:-1]
        later[1:] &= values[1:] > before
    return np.flatnonzero(later)


def _middles(readings: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (readings[:, :, 0] + (readings[:, :, 2] - readings[:, :, 0]) // np.uint64(2)).astype(np.int64)


def _valid(readings: NDArray[np.uint64], source: str) -> NDArray[np.uint64]:
    """``readings`` that are possible, in order of time. Raises `HtrunError` if there are fewer than two."""
    right = (readings[:, :, 2] >= readings[:, :, 0]).all(axis=1) & (readings < _FAR).all(axis=(1, 2))
    if not right.all():
        raise HtrunError(f"{source} is damaged: the reading {int(np.argmin(right)) + 1} is impossible")
    middle = _middles(readings)
    clocks = [list(HostClock).index(each) for each in (HostClock.MONOTONIC, HostClock.MONOTONIC_RAW)]
    kept = np.ones(len(readings), np.bool_)
    for place in clocks:
        times = readings[:, place, 1].astype(np.int64)
        for values in (times, middle[:, place]):
            if len(values):
                kept[1:] &= values[1:] > np.maximum.accumulate(values)[:-1]
    if int(kept.sum()) < 2:
        raise HtrunError(f"{source} contains fewer than two readings of the clocks, so no time can be converted")
    return readings[kept]
