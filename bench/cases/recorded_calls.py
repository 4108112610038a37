"""The cost of a recorded system call, compared with strace. Both tools use a seccomp filter to stop the thread before
the call, stop it again after the call, and write a record."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

from bench import htrun, strace
from bench.groups import PROCESSES, RECORDED
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample
from bench.workshop import MEMORY, Plan, Workshop

_PLAN = Plan(events=200, bursts=30, warmup=5, pause_us=0, singles=0)
_CALL = "getppid"
_OTHER_CALL = "openat"
_PROCESSES = 900
"""The number of programs. The number is so large that the start of the recorder takes only a small part of the time.
strace starts faster than htrun."""
_SCRIPT = f"i=0; while [ $i -lt {_PROCESSES} ]; do /bin/true; i=$((i+1)); done"


class By(Enum):
    """The recorder. The value is the start of the bench's title."""

    STRACE = "strace -f --seccomp-bpf -o FILE"
    LOG = "htrun -D FILE"
    TRACE = "htrun -o DIR"

    def command(self, directory: Path, call: str) -> list[str]:
        """The command line up to the program. ``call``: the recorded call, or ``all``."""
        if self is By.STRACE:
            return strace.command(call, directory / "log")
        output = ["-D", str(directory / "log")] if self is By.LOG else ["-o", str(directory / "trace")]
        return [*htrun.command(), "--syscalls", call, *output, "--"]

    def check(self, directory: Path, least: int) -> None:
        """Raise `FailedError` unless the recorder has written at least ``least`` calls."""
        file = directory / ("trace/metadata" if self is By.TRACE else "log")
        written = file.read_bytes().count(b"\n") if file.exists() else 0
        if self is not By.TRACE and written < least:
            raise FailedError(f"{self.value} wrote {written} lines for {least} calls")
        if self is By.TRACE and sum(each.stat().st_size for each in file.parent.iterdir()) < least * 100:
            raise FailedError(f"{self.value} wrote too little for {least} calls")


class RecordedCalls(Bench):
    """A program that makes one call in a loop. ``wanted``: whether this call is recorded."""

    group = RECORDED

    def __init__(self, by: By, *, wanted: bool) -> None:
        self.name = f"{'recorded' if wanted else 'unwanted'}-{by.name.lower()}"
        self.title = f"{by.value}, {'a recorded call' if wanted else 'a call that is not recorded'}"
        self.tags = frozenset({"calls"})
        self._by = by
        self._wanted = wanted

    def prepare(self, shop: Workshop) -> Run:
        program = shop.build("guests/syscalls.c", "-DCALLS=1", name=_CALL)
        plan = shop.plan(_PLAN)
        call = _CALL if self._wanted else _OTHER_CALL

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                sample = shop.measure([*self._by.command(directory, call), str(program)], plan)
                self._by.check(directory, plan.emitted if self._wanted else 1)
            return sample

        return run


class RecordedProcesses(Bench):
    """A shell that starts a program repeatedly. All calls are recorded. ``by``: the recorder; None: no recorder."""

    group = PROCESSES

    def __init__(self, by: By | None) -> None:
        self.name = f"processes-{by.name.lower()}" if by is not None else "processes"
        self.title = f"{by.value}, all calls recorded" if by is not None else "without a tracer"
        self.tags = frozenset({"calls"})
        self._by = by

    def prepare(self, shop: Workshop) -> Run:
        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                words = self._by.command(directory, "all") if self._by is not None else []
                elapsed = _timed([*words, "sh", "-c", _SCRIPT])
                if self._by is not None:
                    self._by.check(directory, _PROCESSES * 20)
            return Sample(elapsed * 1e3)

        return run


def _timed(command: Sequence[str]) -> float:
    begin = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - begin
    if done.returncode != 0:
        raise FailedError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return elapsed


def benches() -> Iterator[Bench]:
    """The benches of calls that are recorded, of calls that are not, and of a script of many short programs, each with
    strace and with htrun."""
    for wanted in (True, False):
        for by in By:
            yield RecordedCalls(by, wanted=wanted)
    yield RecordedProcesses(None)
    for by in By:
        yield RecordedProcesses(by)
