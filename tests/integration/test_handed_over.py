"""Programs from bug reports: alone and under htrun they print and do the same, every time.

Each of them failed in a few of a hundred runs, or only on a busy machine. ``HTRUN_CASE_RUNS=100`` runs each program 100
times. This finds a failure that occurs in one of 50 runs with a probability of 87%.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.corpus.outcome import Outcome, observe
from tests.support.busy import busy_loops
from tests.support.run import HTRUN
from tests.support.toolchain import Toolchain

PROGRAMS = Path(__file__).parent / "handed_over"
RUNS = int(os.environ.get("HTRUN_CASE_RUNS", "1"))
BUSY_LOOPS = 2
_BUSY = pytest.mark.heavy("each is tried on a machine that is as it is, too")


@dataclass(frozen=True)
class Case:
    """A program with its arguments. ``starter``: another program with its arguments, which starts the program, or htrun
    with the program."""

    program: str
    arguments: tuple[str, ...] = ()
    starter: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join([*self.starter, self.program, *self.arguments])

    def command(self, toolchain: Toolchain, tracer: list[str]) -> list[str]:
        """The command line that runs it under ``tracer``."""
        starter = [str(_compiled(self.starter[0], toolchain)), *self.starter[1:]] if self.starter else []
        return [*starter, *tracer, str(_compiled(self.program, toolchain)), *self.arguments]


def _compiled(name: str, toolchain: Toolchain) -> Path:
    include = f"-I{PROGRAMS.parent / 'guests'}"
    return toolchain.compile(PROGRAMS / f"{name}.c", flags=(include, "-fno-pie", "-no-pie"))


CASES = (
    Case("clear_handlers"),
    *(Case("edge_signals", (how,)) for how in ("counter", "pending", "small", "none", "own")),
    Case("errno_filter"),
    Case("exec_from_thread"),
    Case("fault_once"),
    Case("fault_once", ("emitting",)),
    *(
        Case("graceful", (str(int(number)),), ("group_signal", str(int(number))))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPROF)
    ),
    Case("ignored_timer"),
    Case("many_processes", ("70",)),
    Case("memory_locked"),
    Case("memory_locked", ("limited",)),
    Case("how_started", (), ("odd_start",)),
    Case("stopped_in_wait"),
    Case("wait_for_any", (), ("subreaper",)),
)


_COUNTER_FORBIDDEN = Case("edge_signals", ("counter",))
"""With rings, the guest library reads the counter itself, so this works only for stores."""
WAYS = [(case, via) for case in CASES for via in ("store", "auto") if (case, via) != (_COUNTER_FORBIDDEN, "auto")]


@pytest.mark.parametrize("loops", [0, pytest.param(BUSY_LOOPS, marks=_BUSY)], ids=["idle", "busy"])
@pytest.mark.parametrize(("case", "via"), WAYS, ids=str)
def test_as_alone(case: Case, via: str, loops: int, toolchain: Toolchain, tmp_path: Path) -> None:
    def outcome(tracer: list[str], directory: str) -> Outcome:
        return observe(case.command(toolchain, tracer), tmp_path / directory, str(tmp_path), {})

    alone = outcome([], "alone")
    # With a channel, since most of htrun's work depends on one.
    tracer = [str(HTRUN), "-q", "--via", via, "-D", str(tmp_path / "log"), "--"]
    with busy_loops(loops):
        for number in range(RUNS):
            assert outcome(tracer, f"traced-{number}") == alone, f"in run {number + 1}"
