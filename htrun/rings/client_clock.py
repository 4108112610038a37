"""Time stamps of clients that read a clock other than htrun's.

Pairs of readings of both clocks at the same moment relate such a clock to htrun's; each conversion adds a pair. A
record is older than its conversion, so its time always lies between two pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from htrun.events.clock import interpolated

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

_MOST_PAIRS = 1024
"""The number of latest pairs in use: they cover several seconds."""


class Conversion(Protocol):
    """Converts a client's time stamps to htrun's ticks."""

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """htrun's ticks at ``stamps``."""


class ClientClock:
    """Converts one clock's time stamps. Must be created before the first time stamp is read."""

    def __init__(self, pair: Callable[[], tuple[int, int]]) -> None:
        """``pair``: reads the other clock and htrun's ticks at the same moment."""
        self._pair = pair
        self._pairs = [pair()]

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """htrun's ticks at ``stamps``.

        Impossible stamps are corrected: one from the future counts as now, one from before this object's creation as
        that moment.
        """
        import numpy as np

        pair = self._pair()
        if pair[0] > self._pairs[-1][0]:
            self._pairs = [*self._pairs[-_MOST_PAIRS:], (pair[0], max(pair[1], self._pairs[-1][1]))]
        pairs = np.array(self._pairs, np.uint64)
        return interpolated(stamps, pairs[:, 0], pairs[:, 1])


class Arrival:
    """Conversion for an unknown clock: an event gets the time at which htrun reads it."""

    def __init__(self, read: Callable[[], int]) -> None:
        """``read``: htrun's ticks now."""
        self._read = read

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The current time, whatever ``stamps`` are."""
        import numpy as np

        return np.full(len(stamps), self._read(), np.uint64)
