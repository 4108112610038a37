"""Becoming the tracer of a process that will become the program, without being its parent.

The process that the user started *becomes* the program (`htrun.launch.launcher`), so the program has the process id,
the parent, the process group, the terminal, the children and the exit status that it would have had without htrun. The
tracer is an orphan in a session of its own, which no signal of a terminal reaches. (strace(1) calls this -DDD.)
"""

from __future__ import annotations

import os
from contextlib import suppress

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


def seize(program: int) -> None:
    """Become the tracer of the process ``program`` and of all that it will create, which die with this process. Raises
    `HtrunError`."""
    try:
        ptrace.seize(program, _OPTIONS)
    except (OSError, ptrace.TraceeDied) as error:
        raise HtrunError(_why_not(program, error)) from error


def _why_not(program: int, error: Exception) -> str:
    tracer = 0
    # Killed meanwhile, it may be gone.
    with suppress(OSError), open(f"/proc/{program}/status", encoding="ascii", errors="replace") as status:
        tracer = next((int(line.split()[1]) for line in status if line.startswith("TracerPid:")), 0)
    if tracer:
        return f"cannot trace: process {tracer} (strace, gdb, an htrun?) already traces this one; run htrun outside it"
    return f"cannot trace ({error}): does a sandbox or kernel.yama.ptrace_scope forbid ptrace?"


def release_inherited() -> None:
    """Close what the program inherits, too, except standard error: the readers of pipes wait until it closes them."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    for name in os.listdir("/proc/self/fd"):
        # Our own files are close-on-exec, so one that is not came from outside. The list itself was one of them.
        with suppress(OSError):
            if int(name) > _STANDARD_ERROR and os.get_inheritable(int(name)):
                os.close(int(name))
