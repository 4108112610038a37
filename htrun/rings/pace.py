"""How often the rings are looked at: seldom while little comes, so often that none gets full while much does."""

from __future__ import annotations

PERIOD = 0.015
"""Seconds between two rounds, at most: with the time for which `TimeOrder` holds events back, well under the 50 ms that
a live log may be late."""
_AIM = 0.5
"""How full a ring is to be when it is next looked at, if it goes on filling as fast: a burst may come on top."""
_SHORTEST = 0.002
"""Seconds. To sleep for less would take as long as the round."""


class Pace:
    """Knows how fast the fullest ring fills, from round to round."""

    def __init__(self) -> None:
        self._taken = 0.0
        self._since = 0.0

    def took(self, fill: float) -> None:
        """A round has taken ``fill`` (1 is all of it) out of the ring that had the most."""
        self._taken += fill

    def pause(self, now: float) -> float:
        """Seconds until the next round, 0 for at once. ``now``: seconds of any clock, at the end of a round."""
        seconds, self._since = now - self._since, now
        taken, self._taken = self._taken, 0.0
        if taken * PERIOD <= _AIM * seconds:
            return PERIOD
        pause = _AIM * seconds / taken
        return pause if pause >= _SHORTEST else 0.0
