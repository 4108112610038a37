"""A process that runs only the machine code of a test, with registers that the test sets and reads.

It is a fork of the test under ptrace, so a crash of the code is a stop that the test sees. The arena is memory that
both share, at the same address.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from collections.abc import Callable

from ptrace.binding.func import (
    ptrace_cont,
    ptrace_getfpregs,
    ptrace_getregs,
    ptrace_setfpregs,
    ptrace_setregs,
    ptrace_singlestep,
    ptrace_traceme,
)
from ptrace.binding.linux_struct import user_regs_struct

MAP_32BIT = 0x40
PROT_NONE = 0
INT3 = b"\xcc"

GENERAL = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
ARITHMETIC_FLAGS = 0x8D5
"""CF, PF, AF, ZF, SF, OF."""

ARENA_SIZE = 0x2A_0000
# Places in the arena.
THREAD = 0x100
"""The address in the thread pointer, except for stores through it."""
SITE = 0x0_1000
TRAMPOLINE = 0x1_0000
RUNTIME = 0x1_8000
RING = 0x4_0000
DATA = 0x8_0000
STACK = 0x18_0000
ELSEWHERE = 0x1C_0000
"""Ordinary memory for stores."""
CONTROL = 0x20_0000
"""A page that the process cannot access."""
TABLE = 0x22_0000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Machine:
    """One process under test. ``low``: the arena is below 2 GiB, for code with 32-bit addresses."""

    def __init__(self, *, low: bool = False) -> None:
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | (MAP_32BIT if low else 0)
        access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        self.memory = mmap.mmap(-1, ARENA_SIZE, flags=flags, prot=access)
        self._pin = ctypes.c_char.from_buffer(self.memory)
        self.base = ctypes.addressof(self._pin)
        self.pid = os.fork()
        if self.pid == 0:
            self._become()
        self._wait()

    def _become(self) -> None:
        try:
            ptrace_traceme()
            if _libc.mprotect(self.base + CONTROL, mmap.PAGESIZE, PROT_NONE) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(1)

    def close(self) -> None:
        """End the process."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        del self._pin
        self.memory.close()

    def at(self, place: int) -> int:
        """The address of a place in the arena."""
        return self.base + place

    def write(self, place: int, data: bytes) -> None:
        """Put bytes into the arena."""
        self.memory[place : place + len(data)] = data

    def read(self, place: int, size: int) -> bytes:
        """Bytes of the arena."""
        return self.memory[place : place + size]

    def read_u64(self, place: int) -> int:
        """A number in the arena."""
        return int.from_bytes(self.read(place, 8), "little")

    def write_u64(self, place: int, value: int) -> None:
        """Put a number into the arena."""
        self.write(place, (value % (1 << 64)).to_bytes(8, "little"))

    def registers(self, **values: int) -> user_regs_struct:
        """The current registers, with some of them replaced."""
        regs = ptrace_getregs(self.pid)
        for name, value in values.items():
            setattr(regs, name, value % (1 << 64))
        regs.orig_rax = (1 << 64) - 1
        return regs

    def run(self, regs: user_regs_struct) -> tuple[user_regs_struct, int]:
        """Run from these registers to the next breakpoint or fault; returns the registers there, and the signal."""
        ptrace_setregs(self.pid, regs)
        ptrace_cont(self.pid)
        number = self._wait()
        return ptrace_getregs(self.pid), number

    def step_until(self, regs: user_regs_struct, done: Callable[[user_regs_struct], bool]) -> user_regs_struct:
        """Run instruction by instruction until ``done``."""
        ptrace_setregs(self.pid, regs)
        while not done(regs):
            ptrace_singlestep(self.pid)
            assert self._wait() == signal.SIGTRAP
            regs = ptrace_getregs(self.pid)
        return regs

    def vectors(self) -> bytes:
        """The legacy floating-point state, with the 16 xmm registers."""
        return bytes(ptrace_getfpregs(self.pid))

    def set_vectors(self, xmm: bytes) -> None:
        """Fill the 16 xmm registers."""
        state = ptrace_getfpregs(self.pid)
        ctypes.memmove(ctypes.addressof(state) + 160, xmm, 256)
        ptrace_setfpregs(self.pid, state)

    def _wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSTOPPED(status), f"the process under test ended with status {status:#x}"
        return os.WSTOPSIG(status)
