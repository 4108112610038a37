"""The cost of an event in a whole Linux machine under a stock qemu-system. The event is emitted by a program, through
sysfs, or by the machine's kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench import htrun
from bench.groups import COST
from bench.machine_trace import READINGS, Emitter, samples
from bench.machines import KINDS, Kind, Parts, equipped
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample
from bench.workshop import MEMORY, Plan, Workshop

_PLAN = Plan().without_singles()
_WHO = {Emitter.PROGRAM: "a program", Emitter.KERNEL: "the kernel"}


class _Runs:
    """The runs of one machine. A run measures all emitters, so several benches share it."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._parts: Parts | None = None
        self._left: dict[Emitter, Sample] = {}

    def prepare(self, shop: Workshop) -> None:
        self._parts = self._parts or equipped(shop, self._kind)

    def sample(self, shop: Workshop, emitter: Emitter) -> Sample:
        """A sample of ``emitter`` that has not been used yet. Runs the machine if there is none."""
        if emitter not in self._left:
            self._left = self._run(shop)
        return self._left.pop(emitter)

    def _run(self, shop: Workshop) -> dict[Emitter, Sample]:
        plan = shop.plan(_PLAN)
        words = [f"{name}={getattr(plan, name)}" for name in ("events", "pause_us")]
        steps = [
            # The kernel module is loaded afterwards: it would prevent the program from using the device through sysfs.
            " ".join(["/bin/emit", *words, f"bursts={plan.bursts}", f"warmup={plan.warmup}"]),
            "insmod /qemu-hypertrace.ko",
            " ".join(["insmod /qemu-hypertrace-bench.ko", *words, f"bursts={plan.warmup + plan.bursts}"]),
        ]
        assert self._parts is not None
        with shop.temporary_directory(MEMORY) as directory:
            traced = htrun.traced(directory)
            console = shop.call([*traced.words, *self._parts.command(directory, steps)])
            if "init: " in console:
                raise FailedError(f"the machine's programs failed: {console[-2000:]}")
            account = traced.account()
            emitted = plan.emitted + READINGS * (plan.warmup + plan.bursts)
            account.check(len(Emitter) * emitted)
            facts = {"emitted": emitted, "traps": account.traps}
            found = samples(traced.trace, plan)
        return {emitter: replace(sample, facts={**sample.facts, **facts}) for emitter, sample in found.items()}


class MachineEvent(Bench):
    """An event in a machine. ``emitter``: the emitter of the measured events; ``runs``: the runs that all benches of
    the machine share."""

    group = COST

    def __init__(self, kind: Kind, emitter: Emitter, runs: _Runs) -> None:
        self.name = f"htrun-system-{kind.architecture}" + ("" if emitter is Emitter.PROGRAM else "-kernel")
        self.title = f"htrun, {_WHO[emitter]} in {kind.title}"
        self.tags = frozenset({"htrun", "patched", "system"})
        self.machine = f"{kind.title}, {_WHO[emitter]}"
        self._emitter = emitter
        self._runs = runs

    def prepare(self, shop: Workshop) -> Run:
        htrun.works()
        self._runs.prepare(shop)
        return lambda: self._runs.sample(shop, self._emitter)


def benches() -> Iterator[Bench]:
    """The benches with a program and with the kernel, in a machine of each kind."""
    for kind in KINDS:
        runs = _Runs(kind)
        for emitter in Emitter:
            yield MachineEvent(kind, emitter, runs)
