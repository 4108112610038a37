"""The resolution of a trace's clock. Times shorter than its step cannot be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClockStep:
    """The clock's smallest step. ``ns``: its length in nanoseconds; ``known``: whether the trace states the step (older
    traces do not)."""

    ns: float
    known: bool

    def counted(self, nanoseconds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The differences of times ``nanoseconds``, converted to steps."""
        if self.ns == 1.0:
            return nanoseconds.astype(np.int64)
        steps: NDArray[np.int64] = np.rint(nanoseconds.astype(np.float64) / self.ns).astype(np.int64)
        return steps


def clock_step(environment: Mapping[str, str | int], frequency: int) -> ClockStep:
    """The smallest step of the clock of a trace. ``environment``: the facts of the trace. ``frequency``: the frequency
    of its clock in Hz. Times are stored in whole nanoseconds, so a step is at least 1 ns."""
    whole = environment.get("clock_step_ticks")
    if not isinstance(whole, int) or whole <= 0:
        return ClockStep(1.0, known=False)
    exact = environment.get("clock_step_milliticks")
    ticks = exact / 1000 if isinstance(exact, int) and exact > 0 else whole
    return ClockStep(max(ticks * 1e9 / frequency, 1.0), known=True)
