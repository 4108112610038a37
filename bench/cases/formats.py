"""The cost of reading, printing and converting a trace, compared with babeltrace2's text of the same events."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.format_rates import write_trace
from bench.groups import FORMATS
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample, UnavailableError
from bench.workshop import MEMORY, Workshop

_EVENTS, _QUICK_EVENTS = 4_000_000, 1_000_000
RATES = {
    "numpy": "htrun.open(), read into numpy arrays",
    "ctf": "written as a native trace (without reading)",
    "simple": "read, and written as QEMU's simple",
    "parquet": "read, and written as Parquet",
    "perfetto": "read, and written as Perfetto",
    "chrome": "read, and written as Chrome's JSON",
    "jsonl": "read, and written as JSON lines",
    "csv": "read, and written as CSV",
    "log": "read, and written as QEMU's log",
}
"""The measurements of `bench.format_rates`, and their titles."""


def _trace(shop: Workshop) -> Path:
    """The trace that all benches of the group read. The first bench writes it."""
    path = shop.scratch / "trace"
    if not path.exists():
        write_trace(path, _QUICK_EVENTS if shop.quick else _EVENTS)
    return path


class Text(Bench):
    """A program that prints a trace to /dev/null. Its start is included in the time."""

    group = FORMATS

    def __init__(self, name: str, title: str, command: Sequence[str]) -> None:
        self.name = name
        self.title = title
        self.tags = frozenset({"formats", "printing"})
        self._command = command

    def prepare(self, shop: Workshop) -> Run:
        if shutil.which(self._command[0]) is None:
            raise UnavailableError(f"no {self._command[0]}: apt-get install {self._command[0]}")
        trace = _trace(shop)
        lines = self._lines(trace)

        def run() -> Sample:
            begin = time.perf_counter()
            with Path("/dev/null").open("wb") as nowhere:
                subprocess.run([*self._command, trace], stdout=nowhere, check=True)
            return Sample(lines / (time.perf_counter() - begin) / 1e6)

        return run

    def _lines(self, trace: Path) -> int:
        """The number of events that the program prints. Raises `FailedError` if it prints none."""
        with subprocess.Popen([*self._command, trace], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = sum(1 for _ in process.stdout)
        if process.returncode or not lines:
            raise FailedError(f"{self._command[0]} printed {lines} lines and ended with {process.returncode}")
        return lines


class Rate(Bench):
    """One of `RATES`. The start of Python is not included in the time."""

    group = FORMATS

    def __init__(self, what: str) -> None:
        self.name = what if what == "numpy" else f"to-{what}"
        self.title = RATES[what]
        self.tags = frozenset({"formats"})
        self._what = what

    def prepare(self, shop: Workshop) -> Run:
        trace = _trace(shop)

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                command = [sys.executable, "-m", "bench.format_rates", self._what, str(trace)]
                output = shop.call([*command, str(directory / "out.parquet")])
            try:
                return Sample(1000 / json.loads(output)["ns"])
            except (ValueError, KeyError, TypeError) as error:
                raise FailedError(f"no measurement in the output: {output[-500:]!r}") from error

        return run


def benches() -> Iterator[Bench]:
    """The benches of the two programs that print, then those of htrun's formats."""
    yield Text("babeltrace2-text", "babeltrace2, text", ["babeltrace2"])
    yield Text("print-text", "hypertrace print", [str(Path(sys.executable).with_name("hypertrace")), "print"])
    for what in RATES:
        yield Rate(what)
