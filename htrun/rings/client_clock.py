"""Converts the time stamps of clients whose clock is not htrun's clock.

Both clocks are read at the same moment. Such pairs of readings relate the client's clock to htrun's clock, and each
conversion adds a pair. A record is older than its conversion, so the record's time always lies between two pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from htrun.events.clock import interpolated

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

_MOST_PAIRS = 1024
"""The number of pairs that are kept. These are the latest pairs, and they cover several seconds."""


class Conversion(Protocol):
    """Converts a client's time stamps to htrun's ticks."""

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """htrun's ticks at ``stamps``."""


class ClientClock:
    """Converts the time stamps of one clock. It must be created before the first time stamp is read."""

    def __init__(self, pair: Callable[[], tuple[int, int]]) -> None:
        """``pair``: reads the client's clock and htrun's ticks at the same moment."""
        self._pair = pair
        self._pairs = [pair()]

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """htrun's ticks at ``stamps``.

        Impossible stamps are corrected: a stamp in the future counts as the current time, and a stamp before this
        object was created counts as the time of its creation.
        """
        import numpy as np

        pair = self._pair()
        if pair[0] > self._pairs[-1][0]:
            self._pairs = [*self._pairs[-_MOST_PAIRS:], (pair[0], max(pair[1], self._pairs[-1][1]))]
        pairs = np.array(self._pairs, np.uint64)
        return interpolated(stamps, pairs[:, 0], pairs[:, 1])


class Arrival:
    """The conversion for an unknown clock: an event gets the time at which htrun reads the event."""

    def __init__(self, read: Callable[[], int]) -> None:
        """``read``: returns htrun's current ticks."""
        self._read = read

    def ticks(self, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The current time, which does not depend on ``stamps``."""
        import numpy as np

        return np.full(len(stamps), self._read(), np.uint64)
