"""A trap's system calls in one go: resume the thread of the last trap, wait, read the next trap's facts.

Through ctypes each ptrace request costs more in the interpreter than in the kernel, and a trap needs four and a wait.
So the sequence is machine code, made once: it gives up nothing but the way in and out of the interpreter. It looks
before it takes, and takes nothing but stops: a death is for `htrun.tracee.wait` to reap or to hold.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import TYPE_CHECKING

from htrun.machine_code import executable
from htrun.tracee import ptrace
from htrun.tracee.ptrace import SIGINFO_SIZE, Request

if TYPE_CHECKING:
    from htrun.tracee.registers import Registers

_CODE = bytes.fromhex(
    "53 4889fb c6434000"  # push %rbx; mov %rdi,%rbx; movb $0,COMPLETE(%rbx)
    "488b33 4885f6 742b"  # mov TID(%rbx),%rsi; test %rsi,%rsi; jz wait
    "4c8b5318 4d85d2 740e"  # mov SET_REGISTERS(%rbx),%r10; test %r10,%r10; jz resume
    "b865000000 bf0d000000 31d2 0f05"  # ptrace(SETREGS, tid, 0, registers)
    "b865000000 488b7b08 488b33 31d2 4c8b5310 0f05"  # resume: ptrace(request, tid, 0, signal)
    "b8f7000000 31ff 31f6 488b5348 41ba06000041 4531c0 0f05"  # wait: waitid(P_ALL, 0, info, WEXITED|WSTOPPED|WNOWAIT)
    "48894320 4885c0 0f8885000000"  # mov %rax,FOUND(%rbx); test %rax,%rax; js done
    "488b5348 8b7210 48897320 48c7432800000000"  # si_pid of INFO(%rbx) into FOUND(%rbx); 0 into STATUS(%rbx)
    "837a0804 756c"  # cmpl $CLD_TRAPPED,si_code(%rdx); jne done
    "b8f7000000 bf01000000 41ba03000040 0f05"  # waitid(P_PID, found, info, WSTOPPED|WNOHANG)
    "4885c0 75ab 488b5348 837a1000 74a1"  # jump to wait if that failed or si_pid is 0: it was killed meanwhile
    "8b4218 c1e008 83c87f 894328"  # si_status << 8 | 0x7f into STATUS(%rbx)
    "3d7f0b0000 7538"  # cmp $SEGV_STOPPED,%eax; jne done
    "b865000000 bf02420000 488b7320 31d2 4c8b5330 0f05"  # ptrace(GETSIGINFO, found, 0, siginfo)
    "4885c0 751d"  # test %rax,%rax; jnz done
    "b865000000 bf0c000000 488b7320 4c8b5338 0f05"  # ptrace(GETREGS, found, 0, registers)
    "4885c0 7504 c6434001"  # test %rax,%rax; jnz done; movb $1,COMPLETE(%rbx)
    "5b c3"  # done: pop %rbx; ret
)


_SI_CODE, _SI_ADDR = 8, 16
"""Offsets in siginfo_t (<asm-generic/siginfo.h>)."""


class _Block(ctypes.Structure):
    """What the code reads and writes; the offsets are in `_CODE`."""

    _fields_ = [
        ("tid", ctypes.c_uint64),
        ("request", ctypes.c_uint64),
        ("signal", ctypes.c_uint64),
        ("set_registers", ctypes.c_uint64),
        ("found", ctypes.c_int64),
        ("status", ctypes.c_uint64),
        ("siginfo", ctypes.c_uint64),
        ("registers", ctypes.c_uint64),
        ("complete", ctypes.c_uint64),
        ("info", ctypes.c_uint64),
    ]


class TrapWait:
    """Waits for any tracee, and knows the facts of the SIGSEGV stop it found.

    ``registers``: those of the thread that `facts` was last asked for; what `resume_later` writes back.
    """

    def __init__(self, registers: Registers) -> None:
        self.registers = registers
        self._siginfo = ctypes.create_string_buffer(SIGINFO_SIZE)
        self._code = ctypes.c_int32.from_buffer(self._siginfo, _SI_CODE)
        self._address = ctypes.c_uint64.from_buffer(self._siginfo, _SI_ADDR)
        self._registers_at = ctypes.addressof(registers)
        self._info = ctypes.create_string_buffer(SIGINFO_SIZE)
        self._block = _Block(
            request=Request.CONT,
            siginfo=ctypes.addressof(self._siginfo),
            registers=self._registers_at,
            info=ctypes.addressof(self._info),
        )
        self._known = 0
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(executable(_CODE))
        self._run = functools.partial(call, ctypes.c_void_p(ctypes.addressof(self._block)))

    def next(self) -> tuple[int, int | None]:
        """The next ``(tid, wait status)`` of any tracee; a status of None is a death, which is not reaped yet.

        Raises ChildProcessError when there is no tracee.
        """
        block = self._block
        while True:
            self._run()
            block.tid = 0
            found: int = block.found
            if found > 0:
                status: int = block.status
                # A thread that is killed after it has stopped has no facts any more: those here are another's then.
                self._known = found if block.complete else 0
                return found, status or None
            if found != -errno.EINTR:
                raise ChildProcessError(-found, os.strerror(-found))

    def facts(self, tid: int) -> tuple[int, int]:
        """``(si_code, si_addr)`` of the SIGSEGV a thread is stopped for; `registers` are then its own."""
        if self._known != tid:
            code, address = ptrace.fault(tid)
            ptrace.get_registers(tid, self.registers)
            return code, address
        self._known = 0
        return self._code.value, self._address.value

    def resume_later(self, tid: int) -> None:
        """Let a thread go on with `registers`, when `next` is called next."""
        self._block.tid = tid
        self._block.set_registers = self._registers_at

    def flush(self) -> None:
        """Resume now what `resume_later` has put off."""
        tid, self._block.tid = self._block.tid, 0
        if tid:
            ptrace.set_registers(tid, self.registers)
            ptrace.request(Request.CONT, tid)
