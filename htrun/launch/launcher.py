"""The process that becomes the program (`launcher.S`), and the plan that this process waits for.

A plan is a block of memory. The launcher reads it to a fixed address, so the pointers in the plan are valid without
relocation. The launcher passes the pointers to a few system calls and makes no decisions itself.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

from htrun.errors import ExitCode, HtrunError
from htrun.launch.environment import block_of

LAUNCHED = "--launched="
"""The prefix of a tracer's first argument. The process id of the launcher and a descriptor follow."""
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "htrun")
"""The launcher's program. The installed command ``htrun`` is a copy of this file."""

_PYTHON = "--launcher-python="
ADDRESS = 0x10000000
"""The address to which the launcher reads the plan."""
EXIT, EXEC = 0, 1
EXIT_FIELDS = ("action", "code", "text", "length")
EXEC_FIELDS = (
    "action", "filter", "processors", "processors_size", "path", "arguments", "environment",
    "filter_failures", "processors_failures", "exec_failures", "supervisor", "channel", "descriptor",
)  # fmt: skip
FAILURE_FIELDS = ("errno", "code", "text", "length")
"""The words of a plan to exit, of a plan to execute a program, and of a failure. `tools/assembly_constants.py` passes
their offsets to the launcher's source."""
EXIT_PLAN = struct.Struct(f"={len(EXIT_FIELDS)}Q")
EXEC_PLAN = struct.Struct(f"={len(EXEC_FIELDS)}Q")
_FILTER = struct.Struct("=H6xQ")
"""struct sock_fprog (<linux/filter.h>)."""
_INSTRUCTION = 8
"""The size of a struct sock_filter in bytes."""
FAILURE = struct.Struct(f"={len(FAILURE_FIELDS)}Q")
_ERRORS = (
    errno.E2BIG, errno.EACCES, errno.EAGAIN, errno.EBUSY, errno.EFAULT, errno.EINVAL, errno.EIO, errno.EISDIR,
    errno.ELIBBAD, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENODEV, errno.ENOENT,
    errno.ENOEXEC, errno.ENOMEM, errno.ENOSYS, errno.ENOTDIR, errno.EPERM, errno.ESRCH, errno.ESTALE, errno.ETXTBSY,
)  # fmt: skip
"""The errors that seccomp(2), sched_setaffinity(2) and execve(2) can return."""
_NO_FILTER = "cannot install a seccomp filter ({}): is htrun in a sandbox?"


class Supervision(NamedTuple):
    """The plan's supervision part, if a child of the launcher becomes the program and the launcher itself becomes the
    program's supervisor.

    ``option``: the start of the supervisor's first argument, at most 24 bytes. The launcher appends the child's process
    id and the number of the descriptor from which the supervisor reads. ``channel``: the path of a file that the
    program gets open for reading and writing. ``descriptor``: the number of the descriptor that it gets.
    """

    option: str
    channel: str
    descriptor: int


class Program(NamedTuple):
    """The program that the launcher will execute.

    ``stops``: the seccomp filter that the launcher installs first, unless the program is supervised. ``processors``:
    the processors that the program may run on; None for the caller's processors. ``supervision``: None if the launcher
    itself becomes the program.
    """

    executable: str
    arguments: Sequence[str]
    environment: Sequence[bytes]
    stops: bytes
    processors: frozenset[int] | None = None
    supervision: Supervision | None = None


class Launcher(NamedTuple):
    """The launcher that has started this process: the launcher's process id, and the pipe to the launcher."""

    pid: int
    descriptor: int

    @classmethod
    def of(cls, words: Sequence[str]) -> Launcher | None:
        """The launcher that the arguments ``words`` name; None if they name no launcher."""
        if len(words) < 2 or not words[1].startswith(LAUNCHED):
            return None
        pid, descriptor = map(int, words[1].removeprefix(LAUNCHED).split(","))
        os.set_inheritable(descriptor, False)
        return cls(pid, descriptor)

    def environment(self) -> list[bytes]:
        """The entries of the launcher's environment, as the user has passed them."""
        return block_of(self.pid)

    def exit(self, code: int, message: str = "") -> None:
        """Make the launcher print ``message`` and exit with ``code``. If the launcher is dead, nothing happens."""
        text = os.fsencode(message)
        plan = EXIT_PLAN.pack(EXIT, code, ADDRESS + EXIT_PLAN.size, len(text))
        self._send(plan + text)
        os.close(self.descriptor)

    def become(self, program: Program) -> None:
        """Make the launcher execute ``program``. If there is a supervisor, the pipe to it stays open."""
        self._send(_plan(program))
        if program.supervision is None:
            os.close(self.descriptor)

    def _send(self, plan: bytes) -> None:
        rest = memoryview(len(plan).to_bytes(8, "little") + plan)
        # If the launcher was killed, no process waits for the plan.
        with suppress(BrokenPipeError):
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]


def command() -> list[str]:
    """The first words of a command line with which another program can run htrun: the launcher, and the option that
    makes the tracer use the Python of this process."""
    return [FILE, _PYTHON + sys.executable]


def start(words: Sequence[str], executable: str) -> NoReturn:
    """Become a launcher whose tracer is ``executable -m htrun`` with the arguments ``words``.

    This function is used if htrun was not started by the launcher. The program inherits the changes that Python has
    made in the process, except for those to the environment. Raises `HtrunError`.
    """
    if not os.path.exists("/proc/self/environ"):
        raise HtrunError("cannot read /proc/self/environ: is /proc mounted?")
    restore_actions_of_python()
    arguments = [b"htrun", os.fsencode(_PYTHON + executable), *map(os.fsencode, words)]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.execve(FILE.encode(), pointers(arguments), pointers(block_of(os.getpid())))
    raise HtrunError(f"cannot run {FILE}: {os.strerror(ctypes.get_errno())}; install htrun again")


def restore_actions_of_python() -> None:
    """Restore the default actions of the two signals that Python ignores. The actions that they had before Python
    started are unknown."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def pointers(words: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """``words`` as a list of pointers, as for execve(2)."""
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)


class _Block:
    """Bytes for the launcher's memory, starting at `ADDRESS`."""

    def __init__(self, reserved: int) -> None:
        self._pieces: list[bytes] = []
        self._end = ADDRESS + reserved

    def put(self, data: bytes) -> int:
        """Add ``data`` at a multiple of 8. Returns the address of the data."""
        address = self._end
        self._pieces.append(data.ljust(-(-len(data) // 8) * 8, b"\0"))
        self._end += len(self._pieces[-1])
        return address

    def put_words(self, words: Sequence[bytes]) -> int:
        """Add null-terminated ``words``, and a list of pointers to them as for execve(2). Returns the address of the
        list."""
        text = b"\0".join([*words, b""])
        at = self.put(text)
        pointers = []
        for word in words:
            pointers.append(at)
            at += len(word) + 1
        return self.put(struct.pack(f"={len(words) + 1}Q", *pointers, 0))

    def put_failures(self, message: str, reasons: Mapping[int, str], codes: Mapping[int, int]) -> int:
        """Add a table with a message and an exit code for each error. Returns the address of the table.

        ``message``: contains a placeholder for one of the ``reasons``. ``codes``: the exit code for each error; the
        code at key 0 is for all other errors.
        """
        rows = []
        for number, reason in reasons.items():
            text = os.fsencode(f"htrun: {message.format(reason)}\n")
            rows.append(FAILURE.pack(number, codes.get(number, codes[0]), self.put(text), len(text)))
        return self.put(b"".join(rows))

    def content(self) -> bytes:
        """All bytes that have been added."""
        return b"".join(self._pieces)


def _plan(program: Program) -> bytes:
    block = _Block(EXEC_PLAN.size)
    reasons = {number: os.strerror(number) for number in _ERRORS} | {0: "for an unknown reason"}
    cannot_run = f"cannot run {program.executable.replace('{', '{{').replace('}', '}}')}: {{}}"
    not_executable = {0: int(ExitCode.NOT_EXECUTABLE)}
    why = reasons | {errno.ENOENT: "its interpreter does not exist"} if os.path.exists(program.executable) else reasons
    code = block.put(program.stops)
    mask = _mask(program.processors) if program.processors is not None else b""
    supervision = program.supervision
    fields = {
        "action": EXEC,
        "filter": block.put(_FILTER.pack(len(program.stops) // _INSTRUCTION, code)),
        "processors": block.put(mask) if mask else 0,
        "processors_size": len(mask),
        "path": block.put(os.fsencode(program.executable) + b"\0"),
        "arguments": block.put_words([os.fsencode(word) for word in program.arguments]),
        "environment": block.put_words(program.environment),
        "filter_failures": block.put_failures(_NO_FILTER, reasons, {0: int(ExitCode.OWN_FAILURE)}),
        "processors_failures": block.put_failures(cannot_run, reasons, not_executable),
        "exec_failures": block.put_failures(cannot_run, why, not_executable | {errno.ENOENT: int(ExitCode.NOT_FOUND)}),
        "supervisor": block.put(os.fsencode(supervision.option) + b"\0") if supervision else 0,
        "channel": block.put(os.fsencode(supervision.channel) + b"\0") if supervision else 0,
        "descriptor": supervision.descriptor if supervision else 0,
    }
    return EXEC_PLAN.pack(*(fields[name] for name in EXEC_FIELDS)) + block.content()


def _mask(processors: frozenset[int]) -> bytes:
    """``processors`` as a mask for sched_setaffinity(2)."""
    bits = sum(1 << processor for processor in processors)
    return bits.to_bytes((max(processors) // 64 + 1) * 8, "little")
