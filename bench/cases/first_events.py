"""How long a program waits for its first events: in ``qemu_hypertrace_init()``, at the first event of the run, and at
the first event of a further call site."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bench import htrun
from bench.emulators import COMPILERS, LATER, Emulator
from bench.groups import FIRST
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample
from bench.workshop import MEMORY, Workshop

_EMITTED = 22
"""The number of events of ``first_events.c``."""


class FirstEvents(Bench):
    """One of the times that ``first_events.c`` measures. ``which``: its name in the output, a key of `FIRST`.
    ``emulator``: None for a native program. ``rings``: whether the guest library writes records to rings."""

    def __init__(self, which: str, emulator: Emulator | None = None, *, rings: bool = False) -> None:
        self.group = FIRST[which]
        where = "native" if emulator is None else f"qemu-{emulator.architecture}"
        words = [f"first-{which}", where, *(["rings"] if rings else [])]
        if emulator is not None and emulator.generation is not None:
            words.append(emulator.generation)
        self.name = "-".join(words)
        self.title = f"native, {'rings' if rings else 'stores'}" if emulator is None else f"under {emulator}"
        self.tags = frozenset({"first", where.split("-")[0]})
        self._which = which
        self._emulator = emulator
        self._rings = rings

    def prepare(self, shop: Workshop) -> Run:
        emulator = [] if self._emulator is None else [str(self._emulator.find())]
        architecture = "x86_64" if self._emulator is None else self._emulator.architecture
        htrun.works()
        guest = str(shop.build_guest("guests/first_events.c", compiler=COMPILERS[architecture]))

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                traced = htrun.traced(directory, "--via", "ring" if self._rings else "store")
                output = shop.call([*traced.words, *emulator, guest])
                traced.account().check(_EMITTED)
            try:
                return Sample(json.loads(output)[self._which] / 1e3)
            except (ValueError, KeyError) as error:
                raise FailedError(f"no measurement in the output: {output[-500:]!r}") from error

        return run


def benches() -> Iterator[Bench]:
    """The benches of each time: of native programs, and under each emulator."""
    for which in FIRST:
        yield FirstEvents(which, rings=True)
        yield FirstEvents(which)
        for architecture in COMPILERS:
            for generation in (None, *LATER):
                yield FirstEvents(which, Emulator(architecture, generation))
