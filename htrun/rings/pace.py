"""Chooses the intervals at which the rings are polled. The intervals are long while few events come, but short enough
that no ring fills up."""

from __future__ import annotations

PERIOD = 0.015
"""The maximum time between two rounds, in seconds.

A live log may lag by 50 ms. The sum of this time and the time for which `TimeOrder` holds events back is much less.
"""
_AIM = 0.5
"""The fraction of a ring that should be full at the next poll, if events keep coming at the same rate. The remaining
room is for bursts."""
_SHORTEST = 0.002
"""The minimum time between two rounds, in seconds. A shorter pause would take no longer than the round itself."""


class Pace:
    """Tracks from round to round how fast the fullest ring fills."""

    def __init__(self) -> None:
        self._taken = 0.0
        self._since = 0.0

    def took(self, fill: float) -> None:
        """Take note that a round has emptied the fraction ``fill`` (1: all) of the fullest ring."""
        self._taken += fill

    def pause(self, now: float) -> float:
        """The time in seconds until the next round; 0 to start it immediately. ``now``: the time in seconds at the end
        of a round, on any clock."""
        seconds, self._since = now - self._since, now
        taken, self._taken = self._taken, 0.0
        if taken * PERIOD <= _AIM * seconds:
            return PERIOD
        pause = _AIM * seconds / taken
        return pause if pause >= _SHORTEST else 0.0
