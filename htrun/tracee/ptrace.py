"""ptrace(2): requests and options, the two requests for a running thread, and those for a word of memory. All other
requests are methods of `Stopped`.

python-ptrace 0.9.9 has no SEIZE, LISTEN, INTERRUPT, signal masks or 64-bit event messages. Its import takes 60 ms,
since it runs other programs to find the C library (ctypes.util.find_library).
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from enum import IntEnum, IntFlag
from functools import cache

from htrun import hosts


class TraceeDied(Exception):
    """The thread was killed while it was stopped (ESRCH). The argument is the thread's id."""

    def __init__(self, tid: int) -> None:
        super().__init__(f"thread {tid} died while it was stopped")
        self.tid = tid


class Request(IntEnum):
    """The requests, from <linux/ptrace.h>."""

    PEEKDATA = 2
    PEEKUSER = 3
    POKEDATA = 5
    POKEUSER = 6
    CONT = 7
    SINGLESTEP = 9
    GETREGS = 12
    SETREGS = 13
    SYSCALL = 24
    GETEVENTMSG = 0x4201
    GETSIGINFO = 0x4202
    SETSIGINFO = 0x4203
    GETREGSET = 0x4204
    SEIZE = 0x4206
    INTERRUPT = 0x4207
    LISTEN = 0x4208
    GETSIGMASK = 0x420A
    SETSIGMASK = 0x420B
    GET_SYSCALL_INFO = 0x420E


class Option(IntFlag):
    """The options of SEIZE, from <linux/ptrace.h>."""

    TRACESYSGOOD = 1
    TRACEFORK = 1 << 1
    TRACEVFORK = 1 << 2
    TRACECLONE = 1 << 3
    TRACEEXEC = 1 << 4
    TRACEEXIT = 1 << 6
    TRACESECCOMP = 1 << 7
    EXITKILL = 1 << 20


MOST_THREADS = 1 << 22
"""A number that is greater than every thread id (<linux/threads.h>, PID_MAX_LIMIT)."""
SIGINFO_SIZE = 128
TRAP_TRACE = 2
"""The si_code of the SIGTRAP after a single step (<asm-generic/siginfo.h>)."""

# PyDLL keeps the interpreter lock during the call. A request takes a microsecond; releasing the lock to another thread
# would cost a switch interval at each of the four requests for a trap.
libc = ctypes.PyDLL(None, use_errno=True)
raw_ptrace = libc.ptrace
"""ptrace(2) without a check for errors."""
raw_ptrace.restype = ctypes.c_long
raw_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_raw_syscall = libc.syscall
_raw_syscall.restype = ctypes.c_long
_word = ctypes.c_uint64()
_word_at = ctypes.byref(_word)


def failure(kind: int, tid: int) -> Exception:
    """The exception for a request that has just failed: `TraceeDied` for ESRCH, OSError for any other error."""
    code = ctypes.get_errno()
    if code == errno.ESRCH:
        return TraceeDied(tid)
    return OSError(code, f"ptrace {Request(kind).name} of thread {tid}: {os.strerror(code)}")


def seize(pid: int, options: Option) -> None:
    """Become the tracer of ``pid`` without stopping it. Raises `TraceeDied` and OSError."""
    if raw_ptrace(Request.SEIZE, pid, 0, options) == -1:
        raise failure(Request.SEIZE, pid)


def interrupt(tid: int) -> None:
    """Stop a running thread. A thread that is already stopped will stop again after it is resumed. Raises
    `TraceeDied`."""
    if raw_ptrace(Request.INTERRUPT, tid, 0, 0) == -1:
        raise failure(Request.INTERRUPT, tid)


@cache
def _call_number() -> int:
    # This is not done when the module is imported, because hosts on which htrun does not trace also import it.
    return hosts.current().native.numbers["ptrace"]


def read_word(kind: Request, tid: int, address: int) -> int | None:
    """The result of a request that reads a word: PEEKDATA or PEEKUSER; None if it fails."""
    # The C library's wrapper returns -1 both for an error and for a word of -1, so this uses syscall(2).
    words = ctypes.c_long(kind), ctypes.c_long(tid), ctypes.c_ulong(address), _word_at
    if _raw_syscall(_call_number(), *words) == -1:
        return None
    return _word.value


def peek(tid: int, address: int) -> bytes | None:
    """The 8 bytes at ``address`` in the memory of thread ``tid``; None if the thread is not stopped, or if not all of
    them are mapped."""
    word = read_word(Request.PEEKDATA, tid, address)
    return None if word is None else word.to_bytes(8, sys.byteorder)


def poke(tid: int, address: int, word: bytes) -> bool:
    """Write the 8 bytes ``word`` at ``address`` in the memory of thread ``tid``, even to pages that the thread itself
    may not write. Returns False if the thread is not stopped, or if not all of the bytes are mapped."""
    return bool(raw_ptrace(Request.POKEDATA, tid, address, int.from_bytes(word, sys.byteorder)) == 0)
