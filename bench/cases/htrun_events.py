"""The cost of an event of a guest under htrun: native and emulated, with a patched site and with a trap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench import htrun
from bench.emulators import COMPILERS, LATER, Emulator
from bench.groups import COST
from bench.model import Bench, Run
from bench.outcome import Sample
from bench.workshop import MEMORY, Plan, Workshop, needs_processors

_PATCHED = Plan()
_TRAPPING = Plan(events=20, bursts=100, warmup=15, pause_us=0, singles=500)


class HtrunEvent(Bench):
    """An event of a guest under htrun.

    ``emulator``: the emulator; None for a native guest.
    ``patch``: whether the site may be patched; if not, each event traps.
    ``threads``: the number of threads, 1 or 2.
    ``rings``: whether the guest library writes the records to a ring itself.
    """

    group = COST

    def __init__(
        self, emulator: Emulator | None = None, *, patch: bool = True, threads: int = 1, rings: bool = False
    ) -> None:
        where = "native" if emulator is None else f"qemu-{emulator.architecture}"
        words = ["htrun", *([] if patch else ["no-patch"]), where, *(["rings"] if rings else [])]
        if emulator is not None and emulator.generation is not None:
            words.append(emulator.generation)
        self.name = "-".join([*words, *(["two-threads"] if threads == 2 else [])])
        details = ["native" if emulator is None else f"under {emulator}"]
        details += [] if patch else ["--no-patch"]
        details += ["rings"] if rings else []
        details += ["two threads"] if threads == 2 else []
        self.title = "htrun, " + ", ".join(details)
        way = "rings" if rings else "patched" if patch else "trap"
        self.tags = frozenset({"htrun", way, where.split("-")[0]})
        self.machine = "" if emulator is None else str(emulator)
        self._emulator = emulator
        self._patch = patch
        self._rings = rings
        self._threads = threads

    def prepare(self, shop: Workshop) -> Run:
        needs_processors(self._threads)
        emulator = [] if self._emulator is None else [str(self._emulator.find())]
        architecture = "x86_64" if self._emulator is None else self._emulator.architecture
        htrun.works()
        guest = shop.build_guest("guests/emit.c", compiler=COMPILERS[architecture])
        program = [*emulator, str(guest)]
        options = [*([] if self._patch else ["--no-patch"]), "--via", "ring" if self._rings else "store"]
        # If the site cannot be patched, the guest emits fewer events. Otherwise the traps would take an hour, and fewer
        # events are enough to measure the cost.
        plan = replace(_PATCHED if htrun.patches(shop, program, *options) else _TRAPPING, threads=self._threads)
        # Only an x86-64 guest can read its clock fast enough to time single events.
        plan = shop.plan(plan if architecture == "x86_64" else plan.without_singles())

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                traced = htrun.traced(directory, *options)
                sample = shop.measure([*traced.words, *program], plan)
                account = traced.account()
            account.check(plan.emitted)
            return replace(sample, facts={"emitted": plan.emitted, "traps": account.traps})

        return run


def benches() -> Iterator[Bench]:
    """The benches of native guests, then those of each emulator, then those of the trap path."""
    yield HtrunEvent()
    yield HtrunEvent(threads=2)
    yield HtrunEvent(rings=True)
    yield HtrunEvent(rings=True, threads=2)
    for architecture in COMPILERS:
        for generation in (None, *LATER):
            yield HtrunEvent(Emulator(architecture, generation))
    yield HtrunEvent(patch=False)
    yield HtrunEvent(patch=False, threads=2)
    yield HtrunEvent(Emulator("x86_64", None), patch=False)
