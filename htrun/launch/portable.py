"""The launcher for machines that have no launcher in assembly (`launcher.S`). For a program that is not traced, it does
the same as `launcher.S`, and reads the same plan (`launcher.py`).

A child becomes the program, so of Python it inherits only the actions for SIGPIPE and SIGXFSZ, which are set to their
defaults. The recorder is a grandchild, so it is no child of the program's parent. Neither process executes Python
again.
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from htrun.errors import ExitCode, HtrunError
from htrun.launch import launcher
from htrun.launch.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_STANDARD_ERROR = 2
_NO_PLAN = b"htrun: the tracer ended before it began\n"
_libc = ctypes.CDLL(None, use_errno=True)


class _Before(NamedTuple):
    """The state that the program inherits from this process: the action of SIGCHLD, the signal mask, and whether
    orphans become children of this process."""

    action: signal.Handlers
    mask: Collection[int]
    subreaper: int


class _Plan:
    """A plan with the bytes ``content``."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def is_exit(self) -> bool:
        """Whether this process must exit."""
        return self._word(launcher.ADDRESS) == launcher.EXIT

    def fields(self) -> dict[str, int]:
        """The words of the plan by name."""
        names: tuple[str, ...] = launcher.EXIT_FIELDS if self.is_exit() else launcher.EXEC_FIELDS
        layout = launcher.EXIT_PLAN if self.is_exit() else launcher.EXEC_PLAN
        return dict(zip(names, layout.unpack_from(self._content), strict=True))

    def bytes_at(self, address: int, length: int) -> bytes:
        """``length`` bytes."""
        return self._content[address - launcher.ADDRESS :][:length]

    def text(self, address: int) -> bytes:
        """The text at ``address``, up to a null byte."""
        start = address - launcher.ADDRESS
        return self._content[start : self._content.index(b"\0", start)]

    def texts(self, address: int) -> list[bytes]:
        """The texts to which the pointers in a list point."""
        found = []
        while pointer := self._word(address):
            found.append(self.text(pointer))
            address += 8
        return found

    def failure(self, address: int, error: OSError) -> tuple[bytes, int]:
        """The message and the exit code for an error, from the table at ``address``."""
        while True:
            number, code, text, length = launcher.FAILURE.unpack(self.bytes_at(address, launcher.FAILURE.size))
            if number in (error.errno, 0):
                return self.bytes_at(text, length), code
            address += launcher.FAILURE.size

    def _word(self, address: int) -> int:
        return int.from_bytes(self.bytes_at(address, 8), "little")


def launch(record: Callable[[Launcher], None], serve_as_process_one: Callable[[int], NoReturn]) -> str:
    """Start a recorder, and the program that it chooses. Returns in the process that must become the supervisor: its
    first argument (`htrun.runner.supervisor.OPTION`). If there is no program to run, this process exits.

    ``record``: what the recorder does. ``serve_as_process_one``: what process 1 does while its child, with this id, is
    the launcher. Raises `HtrunError`.
    """
    launcher.restore_actions_of_python()
    before = _Before(
        signal.SIG_IGN if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN else signal.SIG_DFL,
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()),
        _subreaper(),
    )
    # If SIGCHLD were ignored, the kernel would reap children (wait(2)).
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if os.getpid() == 1:
        child = _fork()
        if child:
            serve_as_process_one(child)
    pipe = _started(record)
    plan = _received(pipe)
    fields = plan.fields()
    if plan.is_exit():
        _say(plan.bytes_at(fields["text"], fields["length"]), fields["code"])
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    supervisor, program = os.getpid(), _fork()
    if program == 0:
        _become_program(plan, fields, before, supervisor)
    return f"{os.fsdecode(plan.text(fields['supervisor']))}{program},{pipe}"


def _started(record: Callable[[Launcher], None]) -> int:
    """Start the recorder. Returns the descriptor from which its plan is read."""
    own = os.getpid()
    try:
        reader, writer = os.pipe()
    except OSError as error:
        raise HtrunError("cannot make a pipe: too many open files (ulimit -n)?") from error
    middle = _fork()
    if middle == 0:
        # A grandchild must not become a child of this process when its parent has exited.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        code = int(ExitCode.OWN_FAILURE)
        with suppress(OSError):
            if os.fork() == 0:
                os.close(reader)
                os.setsid()
                record(Launcher(own, writer))
            code = 0
        os._exit(code)
    os.close(writer)
    if os.waitpid(middle, 0)[1]:
        raise _too_many_processes()
    return reader


def _subreaper() -> int:
    value = ctypes.c_int()
    _libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0)
    return value.value


def _fork() -> int:
    try:
        return os.fork()
    except OSError as error:
        raise _too_many_processes() from error


def _too_many_processes() -> HtrunError:
    return HtrunError("cannot start a process for the tracer: too many processes (ulimit -u, pids.max)?")


def _received(pipe: int) -> _Plan:
    length = int.from_bytes(_read(pipe, 8), "little")
    return _Plan(_read(pipe, length))


def _read(pipe: int, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = os.read(pipe, size - len(content))
        if not piece:
            _say(_NO_PLAN, ExitCode.OWN_FAILURE)
        content += piece
    return content


def _become_program(plan: _Plan, fields: dict[str, int], before: _Before, supervisor: int) -> NoReturn:
    # If the supervisor is killed, so is the program, which is meant.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(ExitCode.OWN_FAILURE)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, before.subreaper, 0, 0, 0)
    # The program can do without the channel's descriptor.
    with suppress(OSError):
        channel = os.open(plan.text(fields["channel"]), os.O_RDWR | os.O_CLOEXEC)
        os.dup2(channel, fields["descriptor"])
    signal.signal(signal.SIGCHLD, before.action)
    signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)
    failures = "processors_failures"
    try:
        if fields["processors"]:
            mask = int.from_bytes(plan.bytes_at(fields["processors"], fields["processors_size"]), "little")
            os.sched_setaffinity(0, [bit for bit in range(mask.bit_length()) if mask >> bit & 1])
        failures = "exec_failures"
        _execute(plan.text(fields["path"]), plan.texts(fields["arguments"]), plan.texts(fields["environment"]))
    except OSError as error:
        _say(*plan.failure(fields[failures], error))


def _execute(path: bytes, arguments: list[bytes], environment: list[bytes]) -> NoReturn:
    """execve(2). `os.execve` accepts only environments that are mappings. Raises OSError."""
    _libc.execve(path, launcher.pointers(arguments), launcher.pointers(environment))
    raise OSError(ctypes.get_errno(), "execve")


def _say(message: bytes, code: int) -> NoReturn:
    with suppress(OSError):
        os.write(_STANDARD_ERROR, message)
    os._exit(code)
