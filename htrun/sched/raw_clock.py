"""Converts the kernel's times to ticks. The kernel's records have CLOCK_MONOTONIC_RAW, which is never set and never
slewed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from htrun.events.clock import interpolated, tightest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.clock import ClockSource

_MOST_ANCHORS = 1024
"""The number of recent anchors that are kept. A record that is older than all anchors would get the time of the first
one. This does not happen, because records are taken out of their rings within milliseconds."""


class RawClock:
    """CLOCK_MONOTONIC_RAW in relation to the ticks of ``source``. It must be created before the first record."""

    def __init__(self, source: ClockSource) -> None:
        self._source = source
        self._anchors: list[tuple[int, int]] = []
        self._refit()

    def to_ticks(self, raw: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The ticks at the times ``raw`` (in ns), which must not be in the future. Later times never have fewer
        ticks."""
        import numpy as np

        self._refit()
        anchors = np.array(self._anchors, np.uint64)
        return interpolated(raw, anchors[:, 0], anchors[:, 1])

    def _refit(self) -> None:
        """Take a new anchor."""
        sample = tightest(self._source, time.CLOCK_MONOTONIC_RAW)
        if not self._anchors or (sample.nanoseconds > self._anchors[-1][0] and sample.middle > self._anchors[-1][1]):
            self._anchors.append((sample.nanoseconds, sample.middle))
            del self._anchors[:-_MOST_ANCHORS]
