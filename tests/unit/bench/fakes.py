"""Benches that measure nothing, for tests of the code around benches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from bench.disturbance import Undisturbed
from bench.model import Bench, Group, Run
from bench.outcome import Burst, Sample
from bench.results import Report, Result, Status, Verdict
from bench.workshop import Workshop

GROUP = Group("cost", "What an event costs", "ns", "base", rounds=3, quick_rounds=2, facts=("lost",))
PROBED = replace(GROUP, probed=True)


class Fake(Bench):
    """``run`` is called in each round; ``prepare`` is called before the first round."""

    group = GROUP

    def __init__(self, name: str, run: Run, prepare: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.title = f"the {name}"
        self.tags = frozenset({"fake", f"tag-{name}"})
        self._run = run
        self._prepare = prepare

    def prepare(self, shop: Workshop) -> Run:
        self._prepare()
        return self._run


def constant(name: str, *values: float) -> Result:
    """A measured result with these values."""
    samples = tuple(Sample(value, p50=value / 2, facts={"lost": 0}) for value in values)
    return Result(name, f"the {name}", GROUP.name, Status.MEASURED, samples=samples)


def told_apart(name: str, values: Iterable[float], value: float | None, count: int = 40) -> Result:
    """Like `constant`, in a probed group, with ``value`` as the median of ``count`` of 60 bursts."""
    return replace(constant(name, *values), undisturbed=Undisturbed(count, 60, value))


def bursts(*pairs: tuple[float, float]) -> Sample:
    """A sample of bursts. For each burst: the nanoseconds per event and per iteration of the probe."""
    return Sample(1, bursts=tuple(Burst(ns, probe) for ns, probe in pairs))


def report(*results: Result, group: Group = GROUP) -> Report:
    """A report of one group."""
    machine = {"processor": "a processor", "kernel": "Linux", "distribution": "Debian", "virtual machine": "yes"}
    verdicts = (Verdict("a goal", 1.5, True),)
    return Report("2026-01-02T03:04:05+00:00", False, 1.0, machine, (group,), results, verdicts)
