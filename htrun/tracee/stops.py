"""The kinds of stops and deaths of a tracee. Each wait status is decoded to an object of one of these kinds.

The kinds and their names are those of ptrace(2), "Stopped states". Each object has the id of its thread. Since they are
tuples, two objects of different kinds may be equal; `match` and ``isinstance`` distinguish them.
"""

from __future__ import annotations

import os
import signal
from enum import Enum
from typing import NamedTuple

SEGV_STOPPED = signal.SIGSEGV << 8 | 0x7F
"""The wait status of a thread that is stopped for SIGSEGV. This status is tested first, since every trap has it."""

WALL = 0x60000000
"""__WALL: also wait for threads and clones. __WNOTHREAD: wait only for tracees and children of the calling thread, not
for a process that another thread of htrun has started (<linux/wait.h>)."""

_SYSCALL_TRAP = signal.SIGTRAP | 0x80
_STOP_SIGNALS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})


class PtraceEvent(Enum):
    """PTRACE_EVENT_*: the byte above the signal in the wait status of a stop. The members are STOP and the events that
    htrun asks for."""

    FORK = 1
    VFORK = 2
    CLONE = 3
    EXEC = 4
    EXIT = 6
    SECCOMP = 7
    STOP = 128


# This is a dictionary, since looking up a member of an enumeration, or its value, takes two Python calls each time.
_EVENTS = {event.value: event for event in PtraceEvent}
_STOP_EVENT = PtraceEvent.STOP.value


class SignalStop(NamedTuple):
    """A signal-delivery-stop: ``signal`` (1 to 64) is about to be delivered to the thread."""

    tid: int
    signal: int


class GroupStop(NamedTuple):
    """A group-stop: the thread takes part in a job-control stop, and stays stopped until SIGCONT (PTRACE_LISTEN)."""

    tid: int
    signal: int


class InterruptStop(NamedTuple):
    """A PTRACE_EVENT_STOP that is not a group-stop: the first stop of a new tracee, or the end of a group-stop after
    PTRACE_LISTEN."""

    tid: int


class SyscallStop(NamedTuple):
    """A syscall-enter-stop or a syscall-exit-stop."""

    tid: int


class EventStop(NamedTuple):
    """A PTRACE_EVENT stop: fork, vfork, clone, exec, exit or seccomp."""

    tid: int
    event: PtraceEvent


class Exited(NamedTuple):
    """The thread has exited with an exit status (0 to 255)."""

    tid: int
    status: int


class Killed(NamedTuple):
    """The thread was killed by a signal."""

    tid: int
    signal: int


Stop = SignalStop | GroupStop | InterruptStop | SyscallStop | EventStop | Exited | Killed


def wait_status(result: os.waitid_result) -> int:
    """The status of wait4(2) that corresponds to a result of waitid(2)."""
    if result.si_code == os.CLD_EXITED:
        return result.si_status << 8
    if result.si_code == os.CLD_KILLED:
        return result.si_status
    if result.si_code == os.CLD_DUMPED:
        return result.si_status | 0x80
    return result.si_status << 8 | 0x7F


def decode(tid: int, status: int) -> Stop:
    """Decode a wait status, as wait(2) and ptrace(2) define it."""
    low = status & 0x7F
    if low == 0:
        return Exited(tid, status >> 8 & 0xFF)
    if status & 0xFF != 0x7F:
        return Killed(tid, low)
    number = status >> 8 & 0xFF
    event = status >> 16
    if event == _STOP_EVENT:
        return GroupStop(tid, number) if number in _STOP_SIGNALS else InterruptStop(tid)
    if event:
        return EventStop(tid, _EVENTS[event])
    if number == _SYSCALL_TRAP:
        return SyscallStop(tid)
    return SignalStop(tid, number)
