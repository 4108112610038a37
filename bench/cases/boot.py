"""The time that htrun adds to a whole machine that boots, emits nothing and powers off."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import htrun
from bench.groups import BOOT
from bench.machines import KINDS, Kind, bare
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample
from bench.workshop import MEMORY, Workshop


class Boot(Bench):
    """A machine that boots and powers off. ``traced``: whether it runs under htrun, with the device of the channel, or
    alone."""

    group = BOOT

    def __init__(self, kind: Kind, *, traced: bool) -> None:
        self.name = "-".join(["boot", kind.architecture, *(["htrun"] if traced else [])])
        self.title = ("htrun " if traced else "") + kind.title
        self.tags = frozenset({"htrun", "system"} if traced else {"system"})
        self._kind = kind
        self._traced = traced

    def prepare(self, shop: Workshop) -> Run:
        htrun.works()
        parts = bare(shop, self._kind)

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                machine = parts.command(directory, [])
                words = htrun.traced(directory).words if self._traced else []
                begin = time.perf_counter()
                console = shop.call([*words, *machine])
                elapsed = time.perf_counter() - begin
            if "Kernel panic" in console:
                raise FailedError(f"the machine did not boot: {console[-2000:]}")
            return Sample(elapsed * 1e3)

        return run


def benches() -> Iterator[Bench]:
    """The benches of a machine of each kind, alone and under htrun."""
    for kind in KINDS:
        yield Boot(kind, traced=False)
        yield Boot(kind, traced=True)
