"""The resolution of a trace's clock: shorter times cannot be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClockStep:
    """The clock's smallest step. ``ns``: nanoseconds; ``known``: whether the trace states it (older ones do not)."""

    ns: float
    known: bool

    def counted(self, nanoseconds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Differences of times, in steps."""
        if self.ns == 1.0:
            return nanoseconds.astype(np.int64)
        steps: NDArray[np.int64] = np.rint(nanoseconds.astype(np.float64) / self.ns).astype(np.int64)
        return steps


def clock_step(environment: Mapping[str, str | int], frequency: int) -> ClockStep:
    """The step for a trace with these facts, whose clock has a frequency of ``frequency`` Hz. Times are whole
    nanoseconds, so no step is finer."""
    ticks = environment.get("clock_step_ticks")
    if not isinstance(ticks, int) or ticks <= 0:
        return ClockStep(1.0, known=False)
    return ClockStep(max(ticks * 1e9 / frequency, 1.0), known=True)
