"""Programs that lock their memory, or have low limits: they run as without htrun, or htrun reports which resource is
missing."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from htrun.errors import HtrunError
from htrun.runner import limits
from tests.integration.test_tracer_robustness import unprivileged
from tests.support.run import Htrun
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"
_EVENTS = Counter({(who, number): 1 for who in (*range(12), 100) for number in range(1000)})
_RINGS = 12 * (4 << 10)
"""KiB of the rings of the threads that exist at the same time."""


@pytest.mark.parametrize("case", ["locked", "locked_later", "limited_later"])
def test_locked_and_limited_memory(toolchain: Toolchain, htrun: Htrun, case: str) -> None:
    """No ring is locked, and only rings of threads that emit use memory. All sites are patched."""
    program = toolchain.compile(_GUESTS / "locked_memory.c")
    alone = subprocess.run([program, case], capture_output=True, text=True, check=True).stdout.split()
    result = htrun.run(program, case).check()
    assert Counter((event.args[0], event.args[1]) for event in result.events) == _EVENTS
    assert (result.summary["warnings"], result.summary["traps"] < 100) == ({}, True)
    locked, resident = (int(word) for word in result.stdout.split())
    assert locked < int(alone[0]) + (16 << 10)
    assert resident < int(alone[1]) + _RINGS + (16 << 10)


@pytest.mark.parametrize(
    ("limit", "value", "needed"),
    [
        ("as", limits._SPACE, "896 MiB of address space"),
        ("data", limits._DATA, "320 MiB of memory"),
        ("nofile", 16, "12 open files"),
    ],
)
def test_too_little_is_reported_before_the_program_starts(
    toolchain: Toolchain, htrun: Htrun, limit: str, value: int, needed: str
) -> None:
    """The message is a single line, and no files are left."""
    program = toolchain.compile(_GUESTS / "many_threads.c")
    prlimit = ["prlimit", f"--{limit}={value}:{value}", *unprivileged()]
    command = [*prlimit, *htrun.command(), "sh", "-c", "echo started", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith(f"htrun: htrun needs {needed}, and ")
    assert done.stderr.count("\n") == 1
    assert not htrun.channel.is_symlink()


@pytest.mark.parametrize(
    "limit",
    [f"as={limits._SPACE + (96 << 20)}", f"data={limits._DATA + (64 << 20)}", "nofile=32", f"stack={1 << 40}"],
)
def test_little_is_enough(toolchain: Toolchain, htrun: Htrun, limit: str) -> None:
    program = toolchain.compile(_GUESTS / "many_threads.c")
    prlimit = ["prlimit", f"--{limit}:{limit.partition('=')[2]}", *unprivileged()]
    command = [*prlimit, *htrun.command("-o", htrun.directory / "trace"), str(program), "8", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert len((htrun.directory / "log").read_text().splitlines()) == 8 * 6 + 20 * 3


@pytest.mark.parametrize("limit", range(3, 12))
def test_too_few_descriptors_to_start(htrun: Htrun, limit: int) -> None:
    command = ["prlimit", f"--nofile={limit}:{limit}", *htrun.command(), "sh", "-c", "echo started"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("htrun: ")
    assert (done.stderr.count("\n"), "oo many open files" in done.stderr) == (1, True)


def test_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a control group's pids.max is reached."""

    def refuse(*_: object) -> int:
        raise RuntimeError

    limits.require_room()
    monkeypatch.setattr("htrun.runner.limits._thread.start_new_thread", refuse)
    with pytest.raises(HtrunError, match=r"needs 2 threads in addition .* can start only 0; raise .* pids.max"):
        limits.require_room()
