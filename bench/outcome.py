"""The outcome of a bench: a sample, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class UnavailableError(Exception):
    """A bench is not possible because of the kernel, the machine or a missing package. The message is the reason, and
    how to remove it."""


class FailedError(Exception):
    """A bench has run and failed. This is a bug, not a property of the machine. The message is the reason."""


@dataclass(frozen=True)
class Burst:
    """One burst. ``ns``: the time per event in ns; ``probe``: the time of the slower probe around the burst, in a unit
    that is the same for all benches of a machine."""

    ns: float
    probe: float


@dataclass(frozen=True)
class Sample:
    """The result of one run.

    ``value``: the main result, in the unit of the group.
    ``p50``, ``p99``: percentiles of the times of single events, in the same unit; None if they cannot be timed.
    ``facts``: other results by name.
    ``bursts``: the bursts whose median is ``value``, if there are any. A saved report contains no bursts.
    """

    value: float
    p50: float | None = None
    p99: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    bursts: tuple[Burst, ...] = field(default=(), compare=False, repr=False)
