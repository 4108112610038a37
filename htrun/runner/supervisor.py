"""The supervisor of a program that is not traced. The supervisor is the process that the user has started, and the
program is its child.

A tracer could delay the program's death until every record is written. Without a tracer, the program cannot be the
process that the user has started: that process is the supervisor. It waits for the program, passes signals on to the
program, and stops when the program stops. It exits as the program did, but only when the recorder (the process that
would otherwise be the tracer) has written everything. Orphans of the program become children of the supervisor, so it
knows when the last process of the run has exited.

The program is in the supervisor's process group. So it also gets the signals that the terminal, or another process,
sends to the whole group. The supervisor must not pass these on, or the program would get them twice. A signal does not
show whether it was sent to a group. Therefore the group contains a *witness*, a child that does nothing: if the witness
has received a signal, too, the signal was sent to the group.
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
"""The first argument of a supervisor consists of OPTION and four numbers: the recorder's process id; the recorder's
descriptor of the pipe to which the supervisor writes; the id of the child that becomes the program; and the descriptor
of the pipe on which the supervisor reads from the recorder."""
OPENED, DIED, OVER = b"o", b"d", b"e"
"""The messages of the supervisor to the recorder: it has opened the pipe; the program has died (followed by its wait
status as a 32-bit number); no process of the run is left."""
KILL = b"k"
"""The message of the recorder to the supervisor: kill all processes of the run. The supervisor also kills them if the
recorder dies."""
STATUS = struct.Struct("=i")

_SI_QUEUE = -1
_PR_SET_DUMPABLE = 4
_SIGNAL_INFO = struct.Struct("=IiiIIiIIIIiiQ72x")
"""struct signalfd_siginfo (signalfd(2)) up to ssi_ptr."""
_SIGNAL_SET = 128
_START_TIME = 19
"""The index of the start time of a process among the fields of /proc/PID/stat after the command name, counted from 0
(proc_pid_stat(5))."""
_KILLED = 128
"""Added to a signal's number to make an exit status, as shells do."""
_OWN_FAILURE = 125
"""`htrun.errors.ExitCode.OWN_FAILURE`."""
_PATIENCE = 0.1
"""The time in seconds after which a witness that has not answered is assumed to be stopped."""
_STOPS = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
"""The signals that stop a process, except SIGSTOP, which cannot be passed on."""
_libc = ctypes.CDLL(None, use_errno=True)


class _Signal(NamedTuple):
    """A signal that was received. ``code``: si_code; 0 or less if a process has sent the signal. ``sender``: the id of
    this process. ``value``: the value that was passed to sigqueue(3)."""

    number: int
    code: int
    sender: int
    value: int

    @property
    def is_sent(self) -> bool:
        """Whether another process has sent the signal. A write to a pipe whose reader is gone sends SIGPIPE to the
        writer as if by kill(2) (fs/pipe.c)."""
        return self.code <= 0 and self.sender != os.getpid()


def serve(numbers: str) -> NoReturn:
    """Supervise the program, and exit as the program does. ``numbers``: the four numbers that follow `OPTION` in the
    first argument, separated by commas. All signals were blocked before the program was created, so no signal is missed
    (`htrun/launch/launcher.S`)."""
    recorder, status, program, pipe = map(int, numbers.split(","))
    os.set_inheritable(pipe, False)
    release_inherited()
    witness = _Witness()
    try:
        to_recorder = os.open(f"/proc/{recorder}/fd/{status}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        if not _has_no_writer(pipe):
            os.kill(program, signal.SIGKILL)
            sys.stderr.write(f"htrun: cannot reach the recorder, process {recorder}: {error.strerror}\n")
            os._exit(_OWN_FAILURE)
        # The recorder is dead, which the other pipe will report, too.
        to_recorder = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    _Supervisor(program, witness, pipe, to_recorder).run()


class _Supervisor:
    """Waits for the program and for the recorder. ``program``: the child that becomes the program. ``pipe``: the
    descriptor from which the supervisor reads. ``to_recorder``: the descriptor to which the supervisor writes."""

    def __init__(self, program: int, witness: _Witness, pipe: int, to_recorder: int) -> None:
        self._program = program
        self._witness: _Witness | None = witness
        self._pipe = pipe
        self._to_recorder = to_recorder
        self._signals = _signal_descriptor()
        self._elder = _elder_children(program)
        self._status: int | None = None
        """The program's wait status; None while the program is alive."""
        self._killing = False
        self._over = False
        """Whether no process of the run is left."""
        self._recorder_gone = False

    def run(self) -> NoReturn:
        """Serve until no process of the run is left and the recorder has exited. Then exit."""
        self._tell(OPENED)
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._pipe, select.POLLIN)
        # A child may have died before the descriptor for signals existed.
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
        # The recorder may have died, so the write may fail.
        with suppress(BrokenPipeError):
            os.write(self._to_recorder, message)

    def _take_signals(self) -> None:
        for one in iter(lambda: _next_signal(self._signals), None):
            if one.number == signal.SIGCHLD:
                self._reap()
            if self._witness is not None and (one.number != signal.SIGCHLD or one.is_sent):
                for_all = self._witness.has_got(one.number)
                if one.is_sent and not for_all and not _is_undone(one.number):
                    self._pass_on(one)

    def _pass_on(self, one: _Signal) -> None:
        # The program may have changed its user.
        with suppress(PermissionError):
            if one.code == _SI_QUEUE:
                _libc.sigqueue(self._program, one.number, ctypes.c_void_p(one.value))
            else:
                os.kill(self._program, one.number)

    def _reap(self) -> None:
        """Reap the children that have died. If the program has stopped, stop, too."""
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
            # Signals have no effect on a dead program, so the witness is no longer needed.
            self._witness.dismiss()
            self._witness = None

    def _kill_all(self) -> None:
        """Kill all children. The children of a killed child become children of this process, and this method is called
        again."""
        for child in self._children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)

    def _children(self) -> set[int]:
        """The processes of the run that are children of this process. This includes the witness after it was
        dismissed."""
        children = _children()
        if children is None:
            # The kernel was built without CONFIG_PROC_CHILDREN.
            children = {self._program} if self._status is None else _any_child()
        if self._witness is not None:
            children.discard(self._witness.process)
        return children - self._elder


class _Witness:
    """A child process in the same process group, which only reports the signals that it has received. ``process``: its
    id."""

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
        """Whether the witness has received the signal ``number`` since the last call for this signal."""
        try:
            os.write(self._questions, b"?")
            while not select.select([self._answers], [], [], _PATIENCE)[0]:
                # The witness was stopped together with the group.
                os.kill(self.process, signal.SIGCONT)
            answer = os.read(self._answers, 8)
        except (BrokenPipeError, ProcessLookupError):
            # Another process has killed the witness.
            return False
        self._got |= int.from_bytes(answer, "little")
        bit = 1 << number - 1
        found, self._got = bool(self._got & bit), self._got & ~bit
        return found

    def dismiss(self) -> None:
        """Let the witness exit."""
        os.close(self._questions)
        os.close(self._answers)


def _bear_witness(questions: int, answers: int) -> NoReturn:
    signals, supervisor = _signal_descriptor(), os.getppid()
    while os.read(questions, 1):
        got = 0
        for one in iter(lambda: _next_signal(signals), None):
            # The supervisor itself continues a witness that answers late.
            if one.code > 0 or one.sender != supervisor:
                got |= 1 << one.number - 1
        os.write(answers, got.to_bytes(8, "little"))
    os._exit(0)


def _signal_descriptor() -> int:
    """A new descriptor from which `_next_signal` reads signals."""
    descriptor: int = _libc.signalfd(-1, b"\xff" * _SIGNAL_SET, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"signalfd: {os.strerror(number)}")
    return descriptor


def _next_signal(descriptor: int) -> _Signal | None:
    """The next pending signal; None if there is none."""
    try:
        number, _, code, sender, *_, value = _SIGNAL_INFO.unpack(os.read(descriptor, _SIGNAL_INFO.size))
    except BlockingIOError:
        return None
    return _Signal(number, code, sender, value)


def _is_undone(number: int) -> bool:
    """Whether the signal ``number`` stops or continues the program, and a later signal, which is pending, does the
    opposite.

    The later signal has removed the earlier one from the pending signals of each process (kernel/signal.c,
    prepare_signal), also of the witness, which could not see it any more.
    """
    if number == signal.SIGCONT:
        return not _STOPS.isdisjoint(signal.sigpending())
    return number in _STOPS and signal.SIGCONT in signal.sigpending()


def _has_no_writer(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _stop_like(number: int) -> None:
    """Stop this process by the signal ``number``, which has stopped the program. Returns when this process is
    continued."""
    if number != signal.SIGSTOP:
        signal.signal(number, signal.SIG_DFL)
    # The signal is blocked. If the terminal has sent it to this process, too, it is already pending, and the two merge
    # into one.
    os.kill(os.getpid(), number)
    if number != signal.SIGSTOP:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})


def _exit_like(status: int) -> NoReturn:
    """Exit, or die of a signal, as the program did."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        # Disable core dumps, because a core dump would contain this process, and not the program.
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        # Reached only for signals that the C library reserves.
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
    """The set {0} if this process has a child, otherwise the empty set."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    return {0}


def _elder_children(program: int) -> set[int]:
    """The children that this process had before ``program`` was created. They do not belong to the run."""
    began = _start_time(program)
    return {child for child in _children() or () if _start_time(child) < began}


def _start_time(process: int) -> int:
    """The time when a child was created, in ticks since boot. A dead child has a start time, too."""
    with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as stat:
        return int(stat.read().rpartition(")")[2].split()[_START_TIME])
