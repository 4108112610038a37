"""A trap's system calls in one go: resume the thread of the last trap, wait, read the next trap's facts.

Through ctypes each ptrace request costs more in the interpreter than in the kernel, and a trap needs four and a wait.
So the sequence is machine code (trap_wait.S), which deals with known traps all by itself (`known_traps`).
It looks before it takes, and takes nothing but stops: a death is for `htrun.tracee.wait` to reap or to hold.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from htrun.hosts.x86_64.fastpath.trap_wait_code import CODE
from htrun.machine_code import executable
from htrun.tracee.ptrace import SIGINFO_SIZE, Request, TraceeDied
from htrun.tracee.stopped import Stopped

if TYPE_CHECKING:
    from htrun.hosts.x86_64.fastpath.known_traps import KnownTraps
    from htrun.hosts.x86_64.registers import Registers

_SI_CODE, _SI_ADDR = 8, 16
"""Offsets in siginfo_t (<asm-generic/siginfo.h>)."""


class _Block(ctypes.Structure):
    """struct Block of trap_wait.S."""

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
        ("known", ctypes.c_uint64),
    ]


class TrapWait:
    """Waits for any tracee, and knows the facts of the SIGSEGV stop it found.

    ``registers``: those of the thread that `facts` was last asked for; what `resume_later` writes back. ``known``:
    which traps need not be looked at, made for the same registers.
    """

    def __init__(self, registers: Registers, known: KnownTraps) -> None:
        self.registers = registers
        self.known = known
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
            known=known.address,
        )
        self._facts_of = 0
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(executable(CODE))
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
                self._facts_of = found if block.complete else 0
                return found, status or None
            if found != -errno.EINTR:
                raise ChildProcessError(-found, os.strerror(-found))

    def facts(self, stopped: Stopped) -> tuple[int, int]:
        """``(si_code, si_addr)`` of the SIGSEGV a thread is stopped for; `registers` are then its own."""
        if self._facts_of != stopped.tid:
            code, address = stopped.fault()
            stopped.read_registers(self.registers)
            return code, address
        self._facts_of = 0
        return self._code.value, self._address.value

    def resume_later(self, stopped: Stopped, deliver: int = 0) -> None:
        """Let a thread go on with `registers`, and with a signal to ``deliver``, when `next` is called next. As
        `Stopped.resume`, this uses it up."""
        self._block.tid = stopped.tid
        del stopped.tid
        self._block.signal = deliver
        self._block.set_registers = self._registers_at

    def flush(self) -> None:
        """Resume now what `resume_later` has put off."""
        tid, self._block.tid = self._block.tid, 0
        if tid:
            # Killed meanwhile: its wait status will say so.
            with suppress(TraceeDied):
                stopped = Stopped(tid)
                stopped.set_registers(self.registers)
                stopped.resume(Request.CONT, self._block.signal)
