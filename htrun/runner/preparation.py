"""Loads the modules that a trap needs, before the first trap and while the tracer is idle.

The first trap of a run needs the decoder, the builder of trampolines and the rings, which take about 25 ms to load. The
emulator of a program takes about as long to start, and in this time the tracer has only few stops to handle. So the
tracer loads these modules in steps, and checks for a stop after each step. A separate thread would not be better: while
it imports modules, it would hold the interpreter's lock for half a millisecond each time that the tracer has waited for
a stop.

If the channel offers no rings, the tracer also makes these steps after a program has mapped the channel, since the
program will trap soon. For other programs, nothing is loaded early: most of them write their events to rings.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import suppress


class Preparation:
    """The steps of a run that are made ahead of the first trap."""

    def __init__(self, steps: Callable[[], Iterator[None]]) -> None:
        """``steps``: each step of its result takes at most some milliseconds. No step has an effect other than that the
        same work need not be done later."""
        self._make_steps = steps
        self._begun = False
        self._steps: Iterator[None] | None = None

    def begin(self) -> None:
        """Start the steps. If the program can run only on the processor of this thread, do nothing, because the steps
        would slow down the start of the program."""
        if not self._begun and len(os.sched_getaffinity(0)) > 1:
            self._begun = True
            self._steps = self._make_steps()

    def is_due(self) -> bool:
        """Whether there are steps left."""
        return self._steps is not None

    def step(self) -> None:
        """Make the next step."""
        steps = self._steps
        assert steps is not None
        # Imported modules never become garbage, as in htrun/commands/run.py.
        collects = gc.isenabled()
        gc.disable()
        try:
            # A step that fails is made again by the first trap, which reports the error.
            with suppress(Exception):
                next(steps)
                return
        finally:
            if collects:
                gc.enable()
        self._steps = None


def runs_emulator(pid: int) -> bool:
    """Whether process ``pid`` runs QEMU, according to the name of its program."""
    with suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("qemu-")
    return False
