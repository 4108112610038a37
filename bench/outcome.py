"""The outcome of a bench: a sample, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class UnavailableError(Exception):
    """The kernel, the machine or a missing package rules a bench out. ``str()`` is the reason, and what to do."""


class FailedError(Exception):
    """A bench ran and failed. ``str()`` says how; it is a bug, not a property of the machine."""


@dataclass(frozen=True)
class Burst:
    """One burst: nanoseconds an event, and the time of the slower probe around it, in any unit that all benches of one
    machine share."""

    ns: float
    probe: float


@dataclass(frozen=True)
class Sample:
    """The result of one run.

    ``value``: in the unit of the group. ``p50``, ``p99``: of single events, in the same unit, where they can be timed.
    ``facts``: other results by name. ``bursts``: those of which ``value`` is the median, if there are any; a saved
    report has none.
    """

    value: float
    p50: float | None = None
    p99: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    bursts: tuple[Burst, ...] = field(default=(), compare=False, repr=False)
