"""Finds the processes of one test, both tracers and guests, by a mark in their environment."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import PATIENCE

VARIABLE = "HTRUN_TEST_MARK"


def marked(mark: str) -> list[int]:
    """The ids of running processes with ``mark`` in their environment. Zombies are not included, since they have no
    environment."""
    return with_environment({VARIABLE: mark})


def with_environment(variables: Mapping[str, str]) -> list[int]:
    """The ids of all other processes that were started with all ``variables`` in their environment."""
    wanted = {f"{name}={value}".encode() for name, value in variables.items()}
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal() and int(directory.name) != os.getpid():
            with suppress(OSError):
                if wanted <= set((directory / "environ").read_bytes().split(b"\0")):
                    found.append(int(directory.name))
    return found


def remaining(mark: str, seconds: float = PATIENCE) -> list[str]:
    """Wait up to ``seconds`` until no process with ``mark`` is left. Returns a description of each remaining
    process."""
    deadline = time.monotonic() + seconds
    while left := marked(mark):
        if not _await_end(left[0], deadline):
            return [described(pid) for pid in marked(mark)]
    return []


def kill(mark: str) -> None:
    """Kill all processes with ``mark``. Called after a test has failed."""
    kill_with_environment({VARIABLE: mark})


def kill_with_environment(variables: Mapping[str, str]) -> None:
    """Kill all processes that `with_environment` finds, and the processes that these start in the meantime."""
    while left := with_environment(variables):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            _await_end(pid, time.monotonic() + 5)


def _await_end(pid: int, deadline: float) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))
    finally:
        os.close(handle)


def described(pid: int) -> str:
    """The process id, state and command line of a process, as one line."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return f"{pid} {state} {words}"
    return f"{pid} (gone)"
