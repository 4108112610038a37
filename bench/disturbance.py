"""Finds the bursts that had their core for themselves.

A virtual machine's processor is often one of two hyper-threads of a core, and the other one may belong to another
virtual machine, a neighbour. A busy neighbour takes half of the core's arithmetic units: a recorder that needs them
then takes half as long again, while the floor, which waits for the time stamp counter, does not change. So ratios
depend on the neighbours. The probe of ``measure.h`` detects neighbours: it is slow when the core is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.outcome import Sample

_TOLERANCE, _EMULATED_TOLERANCE = 1.04, 1.1
"""The time of a probe in an undisturbed burst, at most, relative to the best probe: the clock of an undisturbed core
changes by less (some 2%), and a neighbour costs more (10% to 60%). An emulator's translation of the probe differs from
run to run."""
_FEWEST = 5
"""The minimum of undisturbed bursts for a figure."""


@dataclass(frozen=True)
class Undisturbed:
    """``count`` of ``bursts`` were undisturbed, in all rounds together. ``value``: their median, in ns per event;
    None if there were too few."""

    count: int
    bursts: int
    value: float | None


def best_probe(samples: Iterable[Sample]) -> float | None:
    """The best time of the slower of the two probes around a burst: such a burst had the core for itself.

    None without bursts.
    """
    return min((burst.probe for sample in samples for burst in sample.bursts), default=None)


def undisturbed(samples: Sequence[Sample], best: float, *, emulated: bool) -> Undisturbed | None:
    """The undisturbed bursts of ``samples``; None if there are no bursts at all.

    ``best``: the `best_probe` of the whole run on the same machine; ``emulated``: whether that is an emulator.
    """
    bursts = [burst for sample in samples for burst in sample.bursts]
    if not bursts:
        return None
    slowest = best * (_EMULATED_TOLERANCE if emulated else _TOLERANCE)
    found = [burst.ns for burst in bursts if burst.probe <= slowest]
    return Undisturbed(len(found), len(bursts), median(found) if len(found) >= _FEWEST else None)
