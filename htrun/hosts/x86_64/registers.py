"""The general registers of a stopped thread.

python-ptrace has the same structure, but its import takes 60 ms, since it runs other programs to find the C library
(ctypes.util.find_library). A program that starts another program would wait for this import.
"""

from __future__ import annotations

import ctypes
from typing import ClassVar

from htrun.hosts import host
from htrun.hosts.x86_64.abi import bits_in

_TRAP_FLAG = 0x100
_RED_ZONE = 128
_NO_CALL = (1 << 64) - 1


class Registers(host.Registers):
    """struct user_regs_struct of x86-64 (<sys/user.h>). The kernel also uses it for threads in 32-bit code."""

    r15: int
    r14: int
    r13: int
    r12: int
    rbp: int
    rbx: int
    r11: int
    r10: int
    r9: int
    r8: int
    rax: int
    rcx: int
    rdx: int
    rsi: int
    rdi: int
    orig_rax: int
    rip: int
    cs: int
    eflags: int
    rsp: int
    ss: int
    fs_base: int
    gs_base: int
    ds: int
    es: int
    fs: int
    gs: int

    _fields_: ClassVar[list[tuple[str, type[ctypes.c_uint64]]]] = [
        (name, ctypes.c_uint64)
        for name in (
            "r15",
            "r14",
            "r13",
            "r12",
            "rbp",
            "rbx",
            "r11",
            "r10",
            "r9",
            "r8",
            "rax",
            "rcx",
            "rdx",
            "rsi",
            "rdi",
            "orig_rax",
            "rip",
            "cs",
            "eflags",
            "rsp",
            "ss",
            "fs_base",
            "gs_base",
            "ds",
            "es",
            "fs",
            "gs",
        )
    ]

    @property
    def bits(self) -> int:
        """64 or 32: the kind of code that the thread runs."""
        return bits_in(self.cs)

    @property
    def single_steps(self) -> bool:
        """Whether the thread single-steps itself."""
        return bool(self.eflags & _TRAP_FLAG)

    def stop_stepping(self) -> None:
        """Stop the thread's single-stepping of itself."""
        self.eflags &= ~_TRAP_FLAG

    def skip_call(self) -> None:
        """Take the thread out of its call: a call that is about to be made is skipped, and no call is restarted."""
        self.orig_rax = _NO_CALL

    def below_stack(self, size: int) -> int:
        """The start of ``size`` bytes below the red zone (System V ABI, 3.2.2)."""
        return (self.rsp - _RED_ZONE - size) & ~0xF


# The names of the fields by role. A field descriptor works under any name, at the same speed.
for _role, _name in (
    ("pc", "rip"),
    ("sp", "rsp"),
    ("result", "rax"),
    ("call_number", "orig_rax"),
    ("thread_pointer", "fs_base"),
):
    setattr(Registers, _role, getattr(Registers, _name))
