"""Relates the clock of a machine to htrun's clock by bounds: when the machine's clock was read, htrun's clock was
between a lower and an upper bound.

Between two jumps, the ratio of the clocks is constant, so htrun's ticks are a straight line over the machine's stamps.
A lower bound is a point that the line must not pass below; an upper bound is a point that the line must not pass above.
All lines that respect all bounds are possible. `MachineClock` uses a line in the middle of the possible lines, and
computes the maximum distance between this line and the others. Only the bounds on the convex hulls matter, as in Trace
Compass's synchronisation of traces.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_MOST_POINTS = 64
"""The maximum number of points of a hull that are kept. If points are dropped, the bounds are wider, but still true."""
_ROUNDING = 2.0
"""The number of ticks by which computed bounds are widened, because ratios are computed in floating point."""
_SLACK = 64
"""The number of ticks by which every bound is widened. A machine's clock may advance by several ticks at a time, and
the counters of the machine's processors may differ a little."""
Point = tuple[int, int]


class Rates(NamedTuple):
    """A range of ratios: htrun's ticks for each tick of the machine's clock."""

    low: float
    high: float


ANY_RATE = Rates(1e-6, 1e6)


class Line(NamedTuple):
    """htrun's ticks at a stamp: ``ticks`` + ``rate`` * (stamp - ``stamp``)."""

    stamp: int
    ticks: int
    rate: float

    def at(self, stamp: int) -> float:
        """htrun's ticks at ``stamp``, relative to ``ticks``."""
        return self.rate * (stamp - self.stamp)


class MachineClock:
    """One machine's clock between two jumps.

    ``rates``: the ranges of ratios that are expected, the most likely first. A range is used until a bound contradicts
    it.
    """

    def __init__(self, rates: Sequence[Rates]) -> None:
        self._rates = list(rates)
        self._lows: list[Point] = []
        self._highs: list[Point] = []
        self._possible = rates[0]

    @property
    def is_bounded(self) -> bool:
        """Whether there are both lower and upper bounds."""
        return bool(self._lows and self._highs)

    def add(self, stamp: int, low: int | None, high: int, *, sure: bool = True) -> bool:
        """Note that htrun's ticks at ``stamp`` were at least ``low`` (None if this is unknown) and at most ``high``.

        Returns False if the new bounds contradict the bounds so far; then the bounds stay as they are. ``sure``:
        whether the new bounds may show that a range of rates was wrong.
        """
        lows = _hull(self._lows, (stamp, low - _SLACK), 1) if low is not None else self._lows
        highs = _hull(self._highs, (stamp, high + _SLACK), -1)
        for number, rates in enumerate(self._rates if sure else self._rates[:1]):
            possible = _possible_rates(lows, highs, rates)
            if possible is not None:
                self._lows, self._highs, self._possible = lows, highs, possible
                self._rates = self._rates[number:]
                return True
        return False

    def line(self) -> Line:
        """A line halfway between the extreme possible lines: its rate is the mean of the least and the greatest
        possible rate. There must be both lower and upper bounds."""
        rate = (self._possible.low + self._possible.high) / 2
        stamp, ticks = self._highs[-1]
        low = max(value - ticks - rate * (at - stamp) for at, value in self._lows)
        high = min(value - ticks - rate * (at - stamp) for at, value in self._highs)
        return Line(stamp, ticks + round((low + high) / 2), rate)

    def error(self, line: Line, stamp: int) -> float:
        """The maximum distance in ticks between ``line`` and any possible line at ``stamp``."""
        slow, fast = self._possible
        middle = line.at(stamp)
        low = max(
            value - line.ticks + (slow if stamp >= at else fast) * (stamp - at) - middle for at, value in self._lows
        )
        high = min(
            value - line.ticks + (fast if stamp >= at else slow) * (stamp - at) - middle for at, value in self._highs
        )
        return max(high, -low, 0.0) + _ROUNDING


def converted(line: Line, stamps: NDArray[np.uint64], first: int, last: int) -> NDArray[np.uint64]:
    """htrun's ticks at ``stamps``. Times before ``first`` or after ``last`` are impossible, so the result is clipped to
    this range."""
    import numpy as np

    # Only invalid stamps have differences that are too large for floating point.
    away = (stamps - np.uint64(line.stamp)).view(np.int64).astype(np.float64) * line.rate
    ticks = np.clip(away, float(first - line.ticks), float(last - line.ticks))
    return (np.int64(line.ticks) + np.rint(ticks).astype(np.int64)).astype(np.uint64)


def _possible_rates(lows: Sequence[Point], highs: Sequence[Point], within: Rates) -> Rates | None:
    """The ratios of all lines that are above ``lows`` and below ``highs``; None if there is no such line."""
    slowest, fastest = within
    for low_at, low in lows:
        for high_at, high in highs:
            away = high_at - low_at
            if away > 0:
                fastest = min(fastest, (high - low + _ROUNDING) / away)
            elif away < 0:
                slowest = max(slowest, (low - high - _ROUNDING) / -away)
            elif low > high:
                return None
    return Rates(slowest, fastest) if slowest <= fastest else None


def _hull(points: Sequence[Point], point: Point, side: int) -> list[Point]:
    """The upper (``side`` 1) or lower (-1) convex hull of ``points`` and ``point``. ``points`` are already such a
    hull."""
    every = list(points)
    bisect.insort(every, point)
    hull: list[Point] = []
    for one in every:
        while len(hull) > 1 and side * _turn(hull[-2], hull[-1], one) >= 0:
            hull.pop()
        hull.append(one)
    if len(hull) > _MOST_POINTS:
        hull = [hull[0], *hull[1:-1:2], hull[-1]]
    return hull


def _turn(first: Point, second: Point, third: Point) -> int:
    """A positive number if the path through the three points turns left; 0 if the path is straight."""
    (x1, y1), (x2, y2), (x3, y3) = first, second, third
    return (x2 - x1) * (y3 - y1) - (y2 - y1) * (x3 - x1)
