"""Becoming a tracer without being a parent.

The process that the user started *becomes* the program: it forks a tracer, lets itself be seized, and execs. So the
program has the process id, the parent, the process group, the terminal, the children and the fate that it would have
had alone, and whoever waits for it sees its own end. The tracer is a grandchild in a session of its own, which no
terminal signal reaches. (strace(1) calls this -DDD.)
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from htrun.errors import ExitCode, HtrunError
from htrun.tracee import ptrace, seccomp
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
_PR_SET_PTRACER = 0x59616D61
_READY = b"\0"
_STANDARD_ERROR = 2


class Tracer(NamedTuple):
    """What the new process does: ``prepare`` before the program may start (raises `HtrunError`), then ``trace``,
    which gets the program's process id and never returns; or ``undo``, where it can't become the tracer.

    ``stops``: the seccomp filter that tells at which of the program's calls it is stopped."""

    prepare: Callable[[], None]
    undo: Callable[[], None]
    trace: Callable[[int], NoReturn]
    stops: bytes


def become(
    executable: str,
    arguments: list[str],
    environment: Mapping[str, str],
    tracer: Tracer,
    processors: frozenset[int] | None = None,
) -> NoReturn:
    """Run the program in this process, traced by a new one. ``processors``: those it may run on, not the tracer.

    Raises `HtrunError` when there can be no tracer or the program can't be executed.
    """
    program = os.getpid()
    mine, theirs = os.pipe()
    _allow_tracer(True)
    if (middle := os.fork()) == 0:
        _fork_tracer(program, mine, theirs, tracer)
    os.close(theirs)
    # Where SIGCHLD is ignored, as the program is to find it, the kernel reaps, and waiting ends with ECHILD (wait(2)).
    with suppress(ChildProcessError):
        os.waitpid(middle, 0)
    _await_tracer(mine)
    _allow_tracer(False)
    try:
        seccomp.install(tracer.stops)
    except OSError as error:
        raise HtrunError(f"cannot install a seccomp filter ({error.strerror}): is htrun in a sandbox?") from error
    # Python ignores these two for itself; the program must not inherit that (exec keeps ignored signals).
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        if processors is not None:
            os.sched_setaffinity(0, processors)
        os.execve(executable, arguments, environment)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "its interpreter does not exist" if missing and os.path.exists(executable) else error.strerror
        code = ExitCode.NOT_FOUND if missing else ExitCode.NOT_EXECUTABLE
        raise HtrunError(f"cannot run {executable}: {reason}", code) from error


def _allow_tracer(allow: bool) -> None:
    """Where the Yama security module asks for it, let a descendant trace us (PR_SET_PTRACER, prctl(2))."""
    if Path("/proc/sys/kernel/yama").exists():
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(2**64 - 1 if allow else 0), 0, 0, 0)


def _fork_tracer(program: int, mine: int, theirs: int, tracer: Tracer) -> NoReturn:
    """In the middle process: fork once more and end, so that the program never sees the tracer as its child."""
    if os.fork() != 0:
        os._exit(0)
    os.close(mine)
    os.setsid()
    # Ignored it would not be sent for stops (kernel/signal.c, do_notify_parent_cldstop), and `Waiter` waits for it.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Seized last: a tracer that ends takes its tracees along (EXITKILL), and this one must live to print why.
    try:
        tracer.prepare()
    except HtrunError as error:
        _refuse(theirs, str(error))
    try:
        ptrace.seize(program, _OPTIONS)
    except (OSError, ptrace.TraceeDied) as error:
        tracer.undo()
        _refuse(theirs, _why_not(program, error))
    release_inherited()
    _answer(theirs, _READY)
    tracer.trace(program)


def _refuse(theirs: int, message: str) -> NoReturn:
    _answer(theirs, os.fsencode(message))
    os._exit(0)


def _answer(theirs: int, answer: bytes) -> None:
    """Tell the process that waits to become the program. If it has been killed, nobody needs to know."""
    with suppress(BrokenPipeError):
        os.write(theirs, answer)
    os.close(theirs)


def _why_not(program: int, error: Exception) -> str:
    tracer = 0
    # Killed meanwhile, it may be gone.
    with suppress(OSError), open(f"/proc/{program}/status", encoding="ascii", errors="replace") as status:
        tracer = next((int(line.split()[1]) for line in status if line.startswith("TracerPid:")), 0)
    if tracer:
        return f"cannot trace: process {tracer} (strace, gdb, an htrun?) already traces this one; run htrun outside it"
    return f"cannot trace ({error}): does a sandbox or kernel.yama.ptrace_scope forbid ptrace?"


def release_inherited() -> None:
    """What the program inherits is not ours to hold open beside it, but for standard error: others wait for its end."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    for name in os.listdir("/proc/self/fd"):
        # Our own files are close-on-exec, so one that is not came from outside. The list itself was one of them.
        with suppress(OSError):
            if int(name) > _STANDARD_ERROR and os.get_inheritable(int(name)):
                os.close(int(name))


def _await_tracer(mine: int) -> None:
    answer = b""
    while piece := os.read(mine, 4096):
        answer += piece
    os.close(mine)
    if answer != _READY:
        raise HtrunError(os.fsdecode(answer) or "the tracer ended before it began")
