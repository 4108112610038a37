"""A stopped thread's general registers.

python-ptrace has the same structure, but importing its binding takes 60 ms: it looks for the C library with the help of
other programs (ctypes.util.find_library). A program that starts another one would wait that long.
"""

from __future__ import annotations

import ctypes


class Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64 (<sys/user.h>), which the kernel uses for threads in 32-bit code as well."""

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

    _fields_ = [
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
