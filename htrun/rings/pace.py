"""How often the rings are polled: rarely while few events come, but often enough that no ring fills up."""

from __future__ import annotations

PERIOD = 0.015
"""The maximum of seconds between two rounds: together with the time for which `TimeOrder` holds events back, well under
the 50 ms that a live log may lag."""
_AIM = 0.5
"""How full a ring should be at the next poll if it keeps filling as fast: there must be room for a burst."""
_SHORTEST = 0.002
"""Seconds. A shorter sleep would take as long as the round."""


class Pace:
    """Tracks from round to round how fast the fullest ring fills."""

    def __init__(self) -> None:
        self._taken = 0.0
        self._since = 0.0

    def took(self, fill: float) -> None:
        """A round has taken ``fill`` (1 is all of it) out of the fullest ring."""
        self._taken += fill

    def pause(self, now: float) -> float:
        """Seconds until the next round, 0 for at once. ``now``: seconds of any clock, at the end of a round."""
        seconds, self._since = now - self._since, now
        taken, self._taken = self._taken, 0.0
        if taken * PERIOD <= _AIM * seconds:
            return PERIOD
        pause = _AIM * seconds / taken
        return pause if pause >= _SHORTEST else 0.0
