"""A bench: something that is prepared once and run repeatedly, in a group of benches that are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from bench.outcome import Sample
from bench.workshop import Workshop


@dataclass(frozen=True)
class Group:
    """Benches that belong in one table.

    ``baseline``: name of the bench that the others' ratios refer to. ``rounds``, ``quick_rounds``: number of runs of
    each bench of the group, at least 1. ``facts``: names of the samples' facts that the table shows. ``probed``: the
    figures are so small that another user of the core changes them: undisturbed bursts have separate figures, by which
    goals are judged.
    """

    name: str
    title: str
    unit: str
    baseline: str
    rounds: int
    quick_rounds: int
    facts: tuple[str, ...] = ()
    probed: bool = False


Run = Callable[[], Sample]
"""Runs a bench once. Raises `FailedError`."""


class Bench(ABC):
    """One of the alternatives that its group compares.

    ``name``: unique, as on the command line. ``title``: as in tables, one line. ``tags``: more names that select it.
    ``machine``: the machine that runs its program, this one (empty) or an emulator: probes are compared within one
    machine.
    """

    name: str
    title: str
    group: Group
    tags: frozenset[str] = frozenset()
    machine: str = ""

    @abstractmethod
    def prepare(self, shop: Workshop) -> Run:
        """Builds and starts what the bench needs and returns a function that runs it once. Cleaning up is left to
        ``shop.cleanup``. Raises `UnavailableError` or `FailedError`.
        """
