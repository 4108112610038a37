"""Becomes the tracer of the process that will become the program, without being its parent.

The process that the user has started *becomes* the program (`htrun.launch.launcher`). So the program has the process
id, the parent, the process group, the terminal, the children and the exit status that it would have without htrun. The
tracer is an orphan in its own session, so no signal of a terminal reaches it. (strace(1) calls this -DDD.)
"""

from __future__ import annotations

import os
from contextlib import suppress

from htrun import hosts
from htrun.errors import HtrunError
from htrun.tracee import ptrace
from htrun.tracee.ptrace import Option

_OPTIONS = (
    Option.TRACESYSGOOD
    | Option.TRACEFORK
    | Option.TRACEVFORK
    | Option.TRACECLONE
    | Option.TRACEEXEC
    | Option.TRACEEXIT
    | Option.TRACESECCOMP
    | Option.EXITKILL
)
_STANDARD_ERROR = 2


class CannotTraceError(HtrunError):
    """``reason``: why the program cannot be traced; ``message`` also says what to do."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def require_host() -> None:
    """Raise `CannotTraceError` on a machine on which htrun traces no programs."""
    if not hosts.can_trace():
        reason = "htrun traces programs on x86-64 only"
        raise CannotTraceError(f"cannot trace: {reason}; use --no-ptrace, and programs with the guest library", reason)


def seize(program: int) -> None:
    """Become the tracer of the process ``program`` and of all processes that it will create. All these processes die
    when this process exits. Raises `CannotTraceError`, or `HtrunError` if ``program`` is dead."""
    if _is_valgrind(program):
        reason = "valgrind knows no seccomp filters"
        raise CannotTraceError(f"htrun cannot trace inside valgrind: {reason}; try htrun valgrind PROGRAM", reason)
    try:
        ptrace.seize(program, _OPTIONS)
    except (OSError, ptrace.TraceeDied) as error:
        raise _why_not(program, error) from error


def _is_valgrind(process: int) -> bool:
    """Whether a process runs under valgrind: its executable is then one of valgrind's files."""
    try:
        return "/valgrind/" in os.readlink(f"/proc/{process}/exe")
    except OSError:
        return False


def _why_not(program: int, error: Exception) -> HtrunError:
    """The exception to raise for ``error``, with the reason why ``program`` cannot be traced. Its class is different if
    the process is dead."""
    fields: dict[str, str] = {}
    # The process may have been reaped meanwhile.
    with suppress(OSError), open(f"/proc/{program}/status", encoding="ascii", errors="replace") as status:
        fields = dict(line.split(":", 1) for line in status)
    if isinstance(error, ptrace.TraceeDied) or fields.get("State", "").strip()[:1] in {"Z", "X"}:
        return HtrunError("the program was killed before it started")
    tracer = int(fields.get("TracerPid", "0"))
    if tracer:
        reason = f"process {tracer} (strace, gdb, an htrun?) already traces this process"
        return CannotTraceError(f"cannot trace: {reason}; run htrun outside it", reason)
    hint = "does a sandbox or kernel.yama.ptrace_scope forbid ptrace?"
    return CannotTraceError(f"cannot trace ({error}): {hint}", str(error))


def release_inherited() -> None:
    """Close all inherited files except standard error. The program has inherited them too, and the readers of pipes
    wait until every copy is closed."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    for name in os.listdir("/proc/self/fd"):
        # htrun's own files are close-on-exec, so other files are inherited. The directory itself is already closed.
        with suppress(OSError):
            if int(name) > _STANDARD_ERROR and os.get_inheritable(int(name)):
                os.close(int(name))
