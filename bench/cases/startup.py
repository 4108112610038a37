"""The time that htrun adds to the start and the exit of a program that does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from bench import htrun
from bench.groups import STARTUP
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample
from bench.workshop import Workshop


class StartUp(Bench):
    """The start and exit of a program. ``command``: the command line that starts the program."""

    group = STARTUP

    def __init__(self, name: str, title: str, command: Sequence[str]) -> None:
        self.name = name
        self.title = title
        self.tags = frozenset({"startup"})
        self._command = list(command)

    def prepare(self, shop: Workshop) -> Run:
        if self._command[: len(htrun.command())] == list(htrun.command()):
            htrun.works()
        self._run()  # brings the files into memory
        return self._run

    def _run(self) -> Sample:
        begin = time.perf_counter()
        done = subprocess.run(self._command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        elapsed = time.perf_counter() - begin
        if done.returncode != 0:
            raise FailedError(f"`{' '.join(self._command)}` ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return Sample(elapsed * 1e3)


def benches() -> Iterator[Bench]:
    """The benches of the program alone, of a Python that does nothing (for comparison), and of the program under
    htrun."""
    yield StartUp("true", "true", ["true"])
    yield StartUp("python", "Python that does nothing", [sys.executable, "-c", "pass"])
    yield StartUp("htrun-true", "htrun true", htrun.without_options(["true"]))
