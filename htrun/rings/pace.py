"""The intervals at which the rings are polled: long while few events come, but short enough that no ring fills up."""

from __future__ import annotations

PERIOD = 0.015
"""The maximum of seconds between two rounds.

With the time for which `TimeOrder` holds events back, it is well under the 50 ms that a live log may lag.
"""
_AIM = 0.5
"""The fraction of a ring that should be full at the next poll if events keep coming as fast: a burst needs the rest."""
_SHORTEST = 0.002
"""The minimum of seconds between two rounds. A shorter pause would take no longer than the round itself."""


class Pace:
    """Tracks from round to round how fast the fullest ring fills."""

    def __init__(self) -> None:
        self._taken = 0.0
        self._since = 0.0

    def took(self, fill: float) -> None:
        """Take note that a round has emptied the fraction ``fill`` (1: all) of the fullest ring."""
        self._taken += fill

    def pause(self, now: float) -> float:
        """Seconds until the next round; 0: start it at once. ``now``: seconds of any clock, at the end of a round."""
        seconds, self._since = now - self._since, now
        taken, self._taken = self._taken, 0.0
        if taken * PERIOD <= _AIM * seconds:
            return PERIOD
        pause = _AIM * seconds / taken
        return pause if pause >= _SHORTEST else 0.0
