"""The outcome of a bench: a sample, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class UnavailableError(Exception):
    """The kernel, the machine or a missing package rules a bench out. ``str()`` is the reason, and what to do."""


class FailedError(Exception):
    """A bench ran and failed, which is a bug, not a property of the machine. ``str()`` is the reason."""


@dataclass(frozen=True)
class Burst:
    """One burst: nanoseconds per event, and the time of the slower probe around it, in a unit that all benches of one
    machine share."""

    ns: float
    probe: float


@dataclass(frozen=True)
class Sample:
    """The result of one run.

    ``value``: in the unit of the group. ``p50``, ``p99``: percentiles of single events, in the same unit, if they can
    be timed. ``facts``: other results by name. ``bursts``: those of which ``value`` is the median, if there are any; a
    saved report has none.
    """

    value: float
    p50: float | None = None
    p99: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    bursts: tuple[Burst, ...] = field(default=(), compare=False, repr=False)
