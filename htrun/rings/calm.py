"""Decides when the drain makes its first round.

The first round of a run imports numpy, which takes 60 ms or more, nearly all of it with the interpreter's lock. If a
trap is handled at this time, it waits for this lock after each wait for the tracee, so a program's first events would
take ten times as long. Most programs pass their first sites within a few milliseconds. So the first round waits until
no trap has come for a while. Records fit into the rings until then; if a ring is full, the tracer empties it itself.
"""

from __future__ import annotations

PAUSE = 0.01
"""The time in seconds without a trap after which the first round starts."""
_LONGEST = 0.05
"""The time in seconds after which the first round starts even if traps keep coming."""


class Calm:
    """Looks at the number of traps from time to time."""

    def __init__(self, now: float) -> None:
        """``now``: the time in seconds."""
        self._traps = 0
        self._latest = now + _LONGEST
        self._until = self._latest

    def has_come(self, traps: int, now: float) -> bool:
        """Whether the first round may start. ``traps``: the number of traps so far. ``now``: the time in seconds."""
        if traps != self._traps:
            self._traps = traps
            self._until = min(now + PAUSE, self._latest)
        return now >= self._until
