"""Makes the system calls for a trap in machine code: resume the thread of the last trap, wait, and read the facts of
the next trap.

A trap needs four ptrace requests and a wait. Through ctypes, each request costs more in the interpreter than in the
kernel. So machine code (trap_wait.S) makes this sequence of calls, and handles known traps without Python
(`known_traps`). It looks at a state change before it consumes the change, and consumes only stops: `htrun.tracee.wait`
reaps or holds deaths.
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
    """Waits for any tracee. If it finds a SIGSEGV stop, it also reads the facts of this stop.

    ``registers``: the registers of the thread for which `facts` was called last; `resume_later` writes them to the
    thread. ``known``: the traps that Python need not inspect; it must be made for the same registers.
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
        """Wait for any tracee. Returns ``(tid, wait status)``. If the thread has died, the status is None, and the
        thread still has to be reaped.

        Raises ChildProcessError if there is no tracee.
        """
        block = self._block
        while True:
            self._run()
            block.tid = 0
            found: int = block.found
            if found > 0:
                status: int = block.status
                # If a thread was killed after its stop, the block contains the facts of another thread.
                self._facts_of = found if block.complete else 0
                return found, status or None
            if found != -errno.EINTR:
                raise ChildProcessError(-found, os.strerror(-found))

    def facts(self, stopped: Stopped) -> tuple[int, int]:
        """``(si_code, si_addr)`` of the SIGSEGV for which a thread is stopped. Also reads the thread's registers into
        `registers`."""
        if self._facts_of != stopped.tid:
            code, address = stopped.fault()
            stopped.read_registers(self.registers)
            return code, address
        self._facts_of = 0
        return self._code.value, self._address.value

    def resume_later(self, stopped: Stopped, deliver: int = 0) -> None:
        """Let a thread continue with `registers`, and with the signal ``deliver``, at the next call of `next`. Like
        `Stopped.resume`, this invalidates ``stopped``."""
        self._block.tid = stopped.tid
        del stopped.tid
        self._block.signal = deliver
        self._block.set_registers = self._registers_at

    def flush(self) -> None:
        """Resume the thread of the last `resume_later` now."""
        tid, self._block.tid = self._block.tid, 0
        if tid:
            # If the thread was killed meanwhile, its wait status will report the death.
            with suppress(TraceeDied):
                stopped = Stopped(tid)
                stopped.set_registers(self.registers)
                stopped.resume(Request.CONT, self._block.signal)
