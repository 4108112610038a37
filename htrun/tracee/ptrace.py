"""The ptrace(2) requests that htrun makes: the small layer that python-ptrace lacks.

python-ptrace 0.9.9 has no SEIZE, LISTEN, INTERRUPT, signal masks or 64-bit event messages, and its binding is slow to
import (`Registers`). Every request here is for a stopped thread and raises `TraceeDied` when that thread
has been killed meanwhile (ESRCH): its wait status will tell.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, NamedTuple

from htrun import hosts

if TYPE_CHECKING:
    from htrun.hosts.host import Registers


class TraceeDied(Exception):
    """The thread was killed while it was stopped (ESRCH); carries its thread id."""

    def __init__(self, tid: int) -> None:
        super().__init__(f"thread {tid} died while it was stopped")
        self.tid = tid


class Request(IntEnum):
    """Requests, from <linux/ptrace.h>."""

    PEEKUSER = 3
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
    """Options of SEIZE, from <linux/ptrace.h>."""

    TRACESYSGOOD = 1
    TRACEFORK = 1 << 1
    TRACEVFORK = 1 << 2
    TRACECLONE = 1 << 3
    TRACEEXEC = 1 << 4
    TRACEEXIT = 1 << 6
    TRACESECCOMP = 1 << 7
    EXITKILL = 1 << 20


MOST_THREADS = 1 << 22
"""No thread's id is as high (<linux/threads.h>, PID_MAX_LIMIT)."""
SIGINFO_SIZE = 128
TRAP_TRACE = 2
"""si_code of the SIGTRAP after a single step (<asm-generic/siginfo.h>)."""
SIGSET_SIZE = 8

# PyDLL keeps the interpreter lock over the call: a request takes a microsecond, and giving the lock to the reader
# thread in between would cost a switch interval for each of a trap's four requests.
_libc = ctypes.PyDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def request(kind: int, tid: int, address: int = 0, data: int = 0) -> int:
    """One ptrace request. Raises `TraceeDied` on ESRCH, OSError on anything else."""
    result: int = _ptrace(kind, tid, address, data)
    if result == -1:
        code = ctypes.get_errno()
        if code == errno.ESRCH:
            raise TraceeDied(tid)
        if code:
            raise OSError(code, f"ptrace {Request(kind).name} of thread {tid}: {os.strerror(code)}")
    return result


def seize(pid: int, options: Option) -> None:
    """Become the tracer of ``pid`` without stopping it."""
    request(Request.SEIZE, pid, 0, options)


_message = ctypes.c_ulong()


def event_message(tid: int) -> int:
    """The number that comes with a ptrace event: a new thread's id, an exit status, a former thread id."""
    request(Request.GETEVENTMSG, tid, 0, ctypes.addressof(_message))
    return _message.value


_siginfo = ctypes.create_string_buffer(SIGINFO_SIZE)
_siginfo_address = ctypes.addressof(_siginfo)
_fault_fields = struct.Struct("=iiiiQ")


def fault(tid: int) -> tuple[int, int]:
    """``(si_code, si_addr)`` of the fault signal a thread is stopped for."""
    request(Request.GETSIGINFO, tid, 0, _siginfo_address)
    _signo, _errno, code, _pad, address = _fault_fields.unpack_from(_siginfo)
    return code, address


def signal_info(tid: int) -> bytes:
    """The siginfo_t of the signal a thread is stopped for: 128 bytes."""
    request(Request.GETSIGINFO, tid, 0, _siginfo_address)
    return _siginfo.raw


def set_signal_info(tid: int, info: bytes) -> None:
    """Replace the siginfo_t that goes with the signal to be delivered."""
    buffer = ctypes.create_string_buffer(info, SIGINFO_SIZE)
    request(Request.SETSIGINFO, tid, 0, ctypes.addressof(buffer))


def get_registers(tid: int, registers: Registers) -> None:
    """Fill ``registers``."""
    request(Request.GETREGS, tid, 0, ctypes.addressof(registers))


def registers_of(tid: int) -> Registers:
    """The thread's general registers. Their structure is imported late: a program that maps no channel needs none."""
    registers = hosts.current().registers()
    get_registers(tid, registers)
    return registers


def set_registers(tid: int, registers: Registers) -> None:
    """Write all general registers."""
    request(Request.SETREGS, tid, 0, ctypes.addressof(registers))


_peek = _libc.syscall
_peek.restype = ctypes.c_long
_word = ctypes.c_uint64()
_NUMBER = hosts.current().native.numbers["ptrace"]


def user_word(tid: int, offset: int) -> int:
    """One word of struct user. By syscall(2), since the C library's wrapper can't tell a word of -1 from an error."""
    kind, address = ctypes.c_long(Request.PEEKUSER), ctypes.c_long(offset)
    if _peek(_NUMBER, kind, ctypes.c_long(tid), address, ctypes.byref(_word)) == -1:
        raise TraceeDied(tid)
    return _word.value


def set_user_word(tid: int, offset: int, value: int) -> None:
    """Replace one word of struct user."""
    request(Request.POKEUSER, tid, offset, value)


_mask = ctypes.c_uint64()


def signal_mask(tid: int) -> int:
    """The thread's blocked signals: bit N-1 is signal N."""
    request(Request.GETSIGMASK, tid, SIGSET_SIZE, ctypes.addressof(_mask))
    return _mask.value


def set_signal_mask(tid: int, mask: int) -> None:
    """Replace the thread's blocked signals."""
    value = ctypes.c_uint64(mask)
    request(Request.SETSIGMASK, tid, SIGSET_SIZE, ctypes.addressof(value))


class FilteredCall(NamedTuple):
    """A system call that a seccomp filter has stopped: ``audit_arch`` and ``number`` say which, ``data`` is what the
    filter gave with SECCOMP_RET_TRACE (0 to 65535)."""

    audit_arch: int
    number: int
    data: int


# struct ptrace_syscall_info of a seccomp stop (<linux/ptrace.h>, Linux 5.3): arch, nr, ret_data.
_syscall_info = ctypes.create_string_buffer(88)
_syscall_info_fields = struct.Struct("=4xI16xq48xI")


def filtered_call(tid: int) -> FilteredCall:
    """The system call at whose seccomp stop a thread is."""
    request(Request.GET_SYSCALL_INFO, tid, len(_syscall_info), ctypes.addressof(_syscall_info))
    return FilteredCall(*_syscall_info_fields.unpack_from(_syscall_info))


class _IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


_MOST_OF_A_SET = 16384


def register_set(tid: int, kind: int) -> bytes:
    """The thread's registers of a ``kind`` (NT_* in <linux/elf.h>) other than the general ones."""
    room = ctypes.create_string_buffer(_MOST_OF_A_SET)
    vector = _IoVec(ctypes.addressof(room), _MOST_OF_A_SET)
    request(Request.GETREGSET, tid, kind, ctypes.addressof(vector))
    return room.raw[: vector.length]
