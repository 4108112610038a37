"""Fails a test that hangs: prints the state of the test's processes, and kills them, so that the next test can run.

Otherwise a single hung tracer would stop the whole test run: a wait for a traced process, even for a killed one,
returns only after the tracer has released the process (ptrace(2), "Death under ptrace"). So `subprocess.run` hangs in
spite of its timeout.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest

from tests.support import leftovers

AGAIN_SECONDS = 60
"""The time in seconds after which the remaining code, such as the end of a fixture, is interrupted, too."""
_OF_THIS_RUN = ("PYTEST_CURRENT_TEST", "PYTEST_XDIST_TESTRUNUID", "PYTEST_XDIST_WORKER")


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Fail the test that runs in the block, and kill the test's processes, if the block takes longer than
    ``seconds``."""

    def expired(_number: int, _frame: FrameType | None) -> None:
        own = {name: os.environ[name] for name in _OF_THIS_RUN if name in os.environ}
        told = "\n".join(_doing(pid) for pid in leftovers.with_environment(own))
        leftovers.kill_with_environment(own)
        pytest.fail(f"not ended after {seconds:g} s; its processes, which are killed now:\n{told or 'none'}")

    before = signal.signal(signal.SIGALRM, expired)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *outer)


@contextmanager
def no_deadline() -> Iterator[None]:
    """Suspend the deadline during the block, because the block downloads something."""
    left = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)


def _doing(pid: int) -> str:
    """The state of a process: the system call and the kernel function in which it waits and, if it runs Python, its
    stack."""
    lines = [leftovers.described(pid)]
    for name in ("status", "wchan", "syscall"):
        with suppress(OSError):
            text = Path(f"/proc/{pid}/{name}").read_text()
            lines.append(f"{name}: {text if name != 'status' else _parents_and_signals(text)}")
    with suppress(OSError):
        if "python" in os.readlink(f"/proc/{pid}/exe"):
            lines += _places_in_python(pid)
    return "\n    ".join(lines)


def _parents_and_signals(status: str) -> str:
    return " ".join(line for line in status.splitlines() if line.startswith(("PPid", "TracerPid", "Sig", "ShdPnd")))


def _places_in_python(pid: int) -> list[str]:
    command = [str(Path(sys.executable).with_name("py-spy")), "dump", "--nonblocking", "--locals", "--pid", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return ["py-spy does not tell where in the program it is"]
    return (done.stdout or done.stderr).splitlines()
