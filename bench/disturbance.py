"""Finds the bursts during which no other program used the same core.

The processor of a virtual machine is often one of the two hyper-threads of a core. The other hyper-thread may belong to
another virtual machine, a neighbour. A busy neighbour takes half of the core's arithmetic units. A recorder that needs
these units then takes 50% longer. The floor does not change, because it waits for the time stamp counter. So ratios
depend on neighbours. The probe of ``measure.h`` detects a neighbour: the probe is slow while the core is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.outcome import Sample

_TOLERANCE, _EMULATED_TOLERANCE = 1.04, 1.1
"""The maximum time of a probe in an undisturbed burst, relative to the best probe. The clock of an undisturbed core
changes by less (about 2%), and a neighbour costs more (10% to 60%). Under an emulator, the limit is higher, because its
translation of the probe differs from run to run."""
_FEWEST = 5
"""The minimum number of undisturbed bursts for a figure."""


@dataclass(frozen=True)
class Undisturbed:
    """The undisturbed bursts of a bench. ``count``: their number, of all ``bursts`` in all rounds. ``value``: their
    median, in ns per event; None if there are too few."""

    count: int
    bursts: int
    value: float | None


def best_probe(samples: Iterable[Sample]) -> float | None:
    """The minimum, over all bursts, of the time of the slower of the two probes around the burst. None without bursts.

    A burst with this minimum had the core for itself.
    """
    return min((burst.probe for sample in samples for burst in sample.bursts), default=None)


def undisturbed(samples: Sequence[Sample], best: float, *, emulated: bool) -> Undisturbed | None:
    """The undisturbed bursts of ``samples``; None if ``samples`` contain no bursts.

    ``best``: the `best_probe` of the whole run on the same machine; ``emulated``: whether this machine is an emulator.
    """
    bursts = [burst for sample in samples for burst in sample.bursts]
    if not bursts:
        return None
    slowest = best * (_EMULATED_TOLERANCE if emulated else _TOLERANCE)
    found = [burst.ns for burst in bursts if burst.probe <= slowest]
    return Undisturbed(len(found), len(bursts), median(found) if len(found) >= _FEWEST else None)
