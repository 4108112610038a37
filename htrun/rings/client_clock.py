"""Time stamps of clients that read another clock than htrun does.

Such a clock is related to htrun's by pairs of readings at the same moment; each conversion adds a pair. So a record,
which is always older than its conversion, lies between two of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from htrun.events.clock import interpolated

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

_MOST_PAIRS = 1024
"""How many of the latest pairs are used: those of several seconds."""


class Conversion(Protocol):
    """Converts a client's time stamps to htrun's ticks."""

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """htrun's ticks at ``stamps``."""


class ClientClock:
    """Converts one clock's time stamps. Create it before the first of them."""

    def __init__(self, pair: Callable[[], tuple[int, int]]) -> None:
        """``pair``: reads the other clock and htrun's ticks at the same moment."""
        self._pair = pair
        self._pairs = [pair()]

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """htrun's ticks at ``stamps``. Those from the future, or from before the clock's creation, are impossible: they
        count as now, and as that moment."""
        import numpy as np

        pair = self._pair()
        if pair[0] > self._pairs[-1][0]:
            self._pairs = [*self._pairs[-_MOST_PAIRS:], (pair[0], max(pair[1], self._pairs[-1][1]))]
        pairs = np.array(self._pairs, np.uint64)
        return interpolated(stamps, pairs[:, 0], pairs[:, 1])


class Arrival:
    """For an unknown clock: an event has the time of its arrival."""

    def __init__(self, read: Callable[[], int]) -> None:
        """``read``: htrun's ticks now."""
        self._read = read

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The current time, whatever ``stamps`` are."""
        import numpy as np

        return np.full(len(stamps), self._read(), np.uint64)
