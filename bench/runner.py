"""Runs benches alternately (A B C, A B C, ...), so that a slow phase of the machine slows all benches equally."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.disturbance import best_probe, undisturbed
from bench.model import Bench, Group, Run
from bench.outcome import FailedError, Sample, UnavailableError
from bench.results import Result, Status
from bench.workshop import Workshop

Tell = Callable[[str], None]
"""A function that is called with one line about the progress."""


@dataclass
class _Entry:
    """The state of a bench during the rounds. ``result``: its result, once it cannot continue."""

    bench: Bench
    run: Run | None = None
    samples: list[Sample] = field(default_factory=list)
    result: Result | None = None

    def attempt(self, step: Callable[[], None]) -> None:
        """Do one step of the bench. A bench that has failed is not run again."""
        try:
            step()
        except UnavailableError as error:
            self.result = Result.of(self.bench, Status.SKIPPED, str(error))
        except (FailedError, OSError, subprocess.TimeoutExpired) as error:
            self.result = Result.of(self.bench, Status.FAILED, str(error))

    def prepare(self, shop: Workshop) -> None:
        self.run = self.bench.prepare(shop)

    def sample(self) -> None:
        assert self.run is not None
        self.samples.append(self.run())

    def finish(self, best: float | None) -> Result:
        """The result of the bench.

        ``best``: the best probe of the bench's machine; None if disturbed bursts are not excluded.
        """
        if self.result is not None:
            return self.result
        told_apart = None if best is None else undisturbed(self.samples, best, emulated=bool(self.bench.machine))
        return Result.of(self.bench, Status.MEASURED, samples=self.samples, undisturbed=told_apart)


def run_group(group: Group, benches: Sequence[Bench], *, quick: bool, tell: Tell) -> list[Result]:
    """Prepare the benches of one group, run them alternately, and undo the preparation."""
    entries = [_Entry(bench) for bench in benches]
    with tempfile.TemporaryDirectory(prefix="htrun-bench-") as scratch, ExitStack() as cleanup:
        shop = Workshop(quick, Path(scratch), cleanup)
        for entry in entries:
            tell(f"{group.name}: preparing {entry.bench.name}")
            entry.attempt(partial(entry.prepare, shop))
        rounds = group.quick_rounds if quick else group.rounds
        for number in range(1, rounds + 1):
            for entry in _running(entries):
                tell(f"{group.name}: round {number} of {rounds}: {entry.bench.name}")
                entry.attempt(entry.sample)
    best = _best_probes(entries) if group.probed else {}
    return [entry.finish(best.get(entry.bench.machine)) for entry in entries]


def _best_probes(entries: Sequence[_Entry]) -> dict[str, float | None]:
    """The best probe of each machine on which programs of the benches run."""
    samples: dict[str, list[Sample]] = {}
    for entry in entries:
        samples.setdefault(entry.bench.machine, []).extend(entry.samples)
    return {machine: best_probe(found) for machine, found in samples.items()}


def _running(entries: Sequence[_Entry]) -> Iterator[_Entry]:
    return (entry for entry in entries if entry.result is None)
