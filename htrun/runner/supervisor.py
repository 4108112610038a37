"""The supervisor of a program that is not traced: the process that the user started, whose child is the program.

A tracer could hold the program's death until every record is written. Without one, the user's process must be another
one: it waits for the program, passes signals on to it, stops when the program stops, and exits as the program did,
after the recorder (the process that would otherwise be the tracer) has written everything. Orphans of the program
become its children, so it knows when the last process of the run has exited.

The terminal's signals reach the program by themselves: it is in the same process group. So do signals that are sent to
the whole group. They must not be passed on, or the program would get them twice. Nothing in a signal shows that it was
sent to a group. A *witness*, a child that does nothing, is in the group, too: if it has got the signal, it was for all.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
import sys
from contextlib import suppress
from typing import NamedTuple, NoReturn

from htrun.tracee.spawn import release_inherited

OPTION = "--supervise="
"""The first argument of a supervisor: OPTION and four numbers: the recorder's process id, the recorder's descriptor of
a pipe to write to; the child that becomes the program, and the descriptor of a pipe from the recorder."""
OPENED, DIED, OVER = b"o", b"d", b"e"
"""What it writes to the recorder: that it has opened the pipe; that the program has died, with its wait status as a
32-bit number; that no process of the run is left."""
KILL = b"k"
"""What the recorder writes to it: kill all processes of the run. If the recorder dies, it does so, too."""
STATUS = struct.Struct("=i")

_SI_QUEUE = -1
_PR_SET_DUMPABLE = 4
_SIGNAL_INFO = struct.Struct("=IiiIIiIIIIiiQ72x")
"""struct signalfd_siginfo (signalfd(2)) up to ssi_ptr."""
_SIGNAL_SET = 128
_START_TIME = 19
"""Of the fields in /proc/PID/stat after the name, from 0: when the process started (proc_pid_stat(5))."""
_KILLED = 128
"""Added to a signal's number, it makes an exit status, as in shells."""
_OWN_FAILURE = 125
"""`htrun.errors.ExitCode.OWN_FAILURE`."""
_PATIENCE = 0.1
"""Seconds for which a witness that is not stopped has time to answer."""
_libc = ctypes.CDLL(None, use_errno=True)


class _Signal(NamedTuple):
    """``code``: si_code, 0 or less if a process has sent it; ``value``: of sigqueue(3)."""

    number: int
    code: int
    value: int


def serve(numbers: str) -> NoReturn:
    """Supervise, given what follows `OPTION`, and exit as the program does. All signals are blocked, and have been
    since before there was a program, so that none is missed (`htrun/launch/launcher.S`)."""
    recorder, status, program, pipe = map(int, numbers.split(","))
    os.set_inheritable(pipe, False)
    release_inherited()
    witness = _Witness()
    try:
        to_recorder = os.open(f"/proc/{recorder}/fd/{status}", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        # It is dead, as the other pipe will say, too.
        to_recorder = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        os.kill(program, signal.SIGKILL)
        sys.stderr.write(f"htrun: cannot reach the recorder, process {recorder}: {error.strerror}\n")
        os._exit(_OWN_FAILURE)
    _Supervisor(program, witness, pipe, to_recorder).run()


class _Supervisor:
    """``program``: the child that becomes it. ``pipe``, ``to_recorder``: what it reads from and writes to."""

    def __init__(self, program: int, witness: _Witness, pipe: int, to_recorder: int) -> None:
        self._program = program
        self._witness: _Witness | None = witness
        self._pipe = pipe
        self._to_recorder = to_recorder
        self._signals = _signal_descriptor()
        self._elder = _elder_children(program)
        self._status: int | None = None
        """The program's wait status, once it has died."""
        self._killing = False
        self._over = False
        """Whether no process of the run is left."""
        self._recorder_gone = False

    def run(self) -> NoReturn:
        """Until no process of the run is left and the recorder has exited."""
        self._tell(OPENED)
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._pipe, select.POLLIN)
        # A child may have died before there was a descriptor for signals.
        self._reap()
        while not (self._over and self._recorder_gone):
            for descriptor, _ in poll.poll():
                if descriptor == self._signals:
                    self._take_signals()
                    continue
                if not os.read(self._pipe, 1):
                    self._recorder_gone = True
                    poll.unregister(self._pipe)
                if not self._over:
                    self._killing = True
                    self._kill_all()
        _exit_like(self._status or 0)

    def _tell(self, message: bytes) -> None:
        # The recorder may have died.
        with suppress(BrokenPipeError):
            os.write(self._to_recorder, message)

    def _take_signals(self) -> None:
        for one in iter(lambda: _next_signal(self._signals), None):
            if one.number == signal.SIGCHLD:
                self._reap()
            if self._witness is not None and (one.number != signal.SIGCHLD or one.code <= 0):
                for_all = self._witness.has_got(one.number)
                if one.code <= 0 and not for_all:
                    self._pass_on(one)

    def _pass_on(self, one: _Signal) -> None:
        # It may change its user.
        with suppress(PermissionError):
            if one.code == _SI_QUEUE:
                _libc.sigqueue(self._program, one.number, ctypes.c_void_p(one.value))
            else:
                os.kill(self._program, one.number)

    def _reap(self) -> None:
        """Take note of what has happened to children."""
        with suppress(ChildProcessError):
            while True:
                process, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
                if process == 0:
                    break
                if process == self._program and os.WIFSTOPPED(status):
                    _stop_like(os.WSTOPSIG(status))
                elif process == self._program:
                    self._died(status)
        if self._killing:
            self._kill_all()
        if self._status is not None and not self._over and not self._children():
            self._over = True
            self._tell(OVER)

    def _died(self, status: int) -> None:
        self._status = status
        self._tell(DIED + STATUS.pack(status))
        if self._witness is not None:
            # Signals have no effect on a program that is dead.
            self._witness.dismiss()
            self._witness = None

    def _kill_all(self) -> None:
        """Kill the children. Their own become children of this process, and this is called again."""
        for child in self._children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)

    def _children(self) -> set[int]:
        """The processes of the run that are children of this one, the witness among them when it is dismissed."""
        children = _children()
        if children is None:
            # A kernel without CONFIG_PROC_CHILDREN.
            children = {self._program} if self._status is None else _any_child()
        if self._witness is not None:
            children.discard(self._witness.process)
        return children - self._elder


class _Witness:
    """A process in this one's process group that only says which signals it has got. ``process``: its id."""

    def __init__(self) -> None:
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        self._got = 0
        self.process = os.fork()
        if self.process == 0:
            os.close(self._questions)
            _bear_witness(questions, answers)
        os.close(questions)
        os.close(answers)

    def has_got(self, number: int) -> bool:
        """Whether it has got the signal ``number`` since it was last asked for that."""
        try:
            os.write(self._questions, b"?")
            while not select.select([self._answers], [], [], _PATIENCE)[0]:
                # It was stopped together with the group.
                os.kill(self.process, signal.SIGCONT)
            answer = os.read(self._answers, 8)
        except (BrokenPipeError, ProcessLookupError):
            # Somebody has killed it.
            return False
        self._got |= int.from_bytes(answer, "little")
        bit = 1 << number - 1
        found, self._got = bool(self._got & bit), self._got & ~bit
        return found

    def dismiss(self) -> None:
        """Let it exit."""
        os.close(self._questions)
        os.close(self._answers)


def _bear_witness(questions: int, answers: int) -> NoReturn:
    signals = _signal_descriptor()
    while os.read(questions, 1):
        got = 0
        for one in iter(lambda: _next_signal(signals), None):
            got |= 1 << one.number - 1
        os.write(answers, got.to_bytes(8, "little"))
    os._exit(0)


def _signal_descriptor() -> int:
    """A descriptor from which `_next_signal` reads."""
    descriptor: int = _libc.signalfd(-1, b"\xff" * _SIGNAL_SET, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"signalfd: {os.strerror(number)}")
    return descriptor


def _next_signal(descriptor: int) -> _Signal | None:
    """The next pending signal; None if there is none."""
    try:
        number, _, code, *_, value = _SIGNAL_INFO.unpack(os.read(descriptor, _SIGNAL_INFO.size))
    except BlockingIOError:
        return None
    return _Signal(number, code, value)


def _stop_like(number: int) -> None:
    """Stop this process by the signal ``number``, which has stopped the program. Returns when this process is
    continued."""
    if number != signal.SIGSTOP:
        signal.signal(number, signal.SIG_DFL)
    # The signal is blocked. If the terminal has sent it, too, it is already pending, and the two merge into one.
    os.kill(os.getpid(), number)
    if number != signal.SIGSTOP:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})


def _exit_like(status: int) -> NoReturn:
    """Exit, or die of a signal, as the program did."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        # A core dump would show this process, not the program.
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        # Not reached, except by signals that the C library has for itself.
        code = _KILLED - code
    os._exit(code)


def _children() -> set[int] | None:
    """The children of this process; None if the kernel does not list them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
            return {int(word) for word in children.read().split()}
    except OSError:
        return None


def _any_child() -> set[int]:
    """Some child of this process, if it has one."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    return {0}


def _elder_children(program: int) -> set[int]:
    """The children that this process had before ``program``: they do not belong to the run."""
    began = _start_time(program)
    return {child for child in _children() or () if _start_time(child) < began}


def _start_time(process: int) -> int:
    """When a child was created, in ticks since boot. A dead child has one, too."""
    with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as stat:
        return int(stat.read().rpartition(")")[2].split()[_START_TIME])
