"""Reports programs of the run that try to trace processes, such as debuggers, strace and LeakSanitizer. They fail,
because htrun already traces these processes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from htrun.events.warnings import Kind
from htrun.tracee.seccomp import PR_SET_PTRACER, PTRACE_ATTACH, PTRACE_SEIZE, PTRACE_TRACEME

if TYPE_CHECKING:
    from collections.abc import Container

    from htrun.events.warnings import Warnings
    from htrun.intercept.stopped_call import StoppedCall


class SecondTracers:
    """Reports the programs of a run that try to trace a process. ``tracees``: the ids of the threads that htrun
    traces."""

    def __init__(self, tracees: Container[int], warnings: Warnings) -> None:
        self._tracees = tracees
        self._warnings = warnings

    def asked(self, call: StoppedCall) -> None:
        """Handle a thread that is about to call ptrace or prctl, if `htrun.tracee.seccomp.TRACER_RULES` select the
        call."""
        first, second = (call.argument(index) & 0xFFFFFFFF for index in range(2))
        pid = call.thread.process.pid
        if call.name == "prctl":
            if first == PR_SET_PTRACER and second not in self._tracees and _status(second, "PPid") == str(pid):
                self._own_child(pid)
        elif first == PTRACE_TRACEME:
            parent = _status(pid, "PPid") or "0"
            self._refused(int(parent), pid)
        elif first in {PTRACE_ATTACH, PTRACE_SEIZE} and second in self._tracees:
            self._refused(pid, second)

    def _refused(self, tracer: int, tracee: int) -> None:
        name = _status(tracer, "Name") or "a program"
        self._warnings.warn(
            Kind.SECOND_TRACER,
            tracer,
            f"{name} (process {tracer}) cannot trace process {tracee}: htrun traces it, and a process has one tracer; "
            f"run {name} without htrun",
        )

    def _own_child(self, pid: int) -> None:
        # LeakSanitizer is the only known program that does this. It creates the child with CLONE_UNTRACED.
        self._warnings.warn(
            Kind.SECOND_TRACER,
            pid,
            f"LeakSanitizer in process {pid} will fail: htrun traces the process, and a process has one tracer; "
            "turn it off with ASAN_OPTIONS=detect_leaks=0 or LSAN_OPTIONS=detect_leaks=0",
        )


def _status(pid: int, field: str) -> str | None:
    """The value of ``field`` in /proc/PID/status; None if the process is gone."""
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
        return next((line.partition(":")[2].strip() for line in status if line.startswith(f"{field}:")), None)
    return None
