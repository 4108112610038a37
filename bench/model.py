"""Benches and groups of benches. A bench is prepared once and run repeatedly. The benches of a group are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from bench.outcome import Sample
from bench.workshop import Workshop


@dataclass(frozen=True)
class Group:
    """The benches of one table.

    ``baseline``: the name of the bench to which the ratios of the other benches refer.
    ``rounds``, ``quick_rounds``: the number of runs of each bench, at least 1.
    ``facts``: the names of the facts of samples that the table shows.
    ``probed``: whether the figures are so small that another user of the core changes them. If so, undisturbed bursts
    have separate figures, which goals refer to.
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
"""A function that runs a bench once. Raises `FailedError`."""


class Bench(ABC):
    """One of the alternatives that its group compares.

    ``name``: its unique name on the command line.
    ``title``: its title in tables, one line.
    ``tags``: further names that select it.
    ``machine``: the machine that runs its program: an emulator, or empty for this machine. Probes are only compared
    with probes on the same machine.
    """

    name: str
    title: str
    group: Group
    tags: frozenset[str] = frozenset()
    machine: str = ""

    @abstractmethod
    def prepare(self, shop: Workshop) -> Run:
        """Build and start what the bench needs, and return a function that runs the bench once. ``shop.cleanup`` undoes
        the preparation. Raises `UnavailableError` or `FailedError`.
        """
