"""What a bench is: something to prepare once and to run again and again, in a group of which all are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.workshop import Workshop


class UnavailableError(Exception):
    """The kernel, the machine or a missing package rules a bench out. ``str()`` is the reason, and what to do."""


class FailedError(Exception):
    """A bench ran and did not do what it should. ``str()`` says what; it is a bug, not the machine."""


@dataclass(frozen=True)
class Group:
    """Benches that belong in one table.

    ``baseline``: name of the bench that the others' ratios refer to. ``rounds``, ``quick_rounds``: how often each bench
    of the group runs, at least 1. ``facts``: of the samples' facts, those that the table shows. ``probed``: the figures
    are so small that whoever shares a core changes them: undisturbed bursts have figures of their own, by which goals
    are judged.
    """

    name: str
    title: str
    unit: str
    baseline: str
    rounds: int
    quick_rounds: int
    facts: tuple[str, ...] = ()
    probed: bool = False


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
    ``facts``: what else the run showed, by name. ``bursts``: what ``value`` is the median of, where there are any;
    a saved report has none.
    """

    value: float
    p50: float | None = None
    p99: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    bursts: tuple[Burst, ...] = field(default=(), compare=False, repr=False)


Run = Callable[[], Sample]
"""Runs a bench once. Raises `FailedError`."""


class Bench(ABC):
    """One way of doing what its group is about.

    ``name``: unique, as on the command line. ``title``: as in tables, one line. ``tags``: more names that select it.
    ``machine``: what runs its program, this machine (empty) or an emulator: probes compare within one only.
    """

    name: str
    title: str
    group: Group
    tags: frozenset[str] = frozenset()
    machine: str = ""

    @abstractmethod
    def prepare(self, shop: Workshop) -> Run:
        """Builds and starts what the bench needs and gives back what runs it once.

        Whatever must be undone is left to ``shop.cleanup``. Raises `UnavailableError` or `FailedError`.
        """
