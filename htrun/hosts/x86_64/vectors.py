"""Reads the vector registers of a stopped thread from its XSAVE area (Intel SDM volume 1, chapter 13)."""

from __future__ import annotations

import ctypes
from functools import cache

from htrun.machine_code import executable

REGISTER_SET = 0x202
"""NT_X86_XSTATE: the name of the XSAVE area for PTRACE_GETREGSET (<linux/elf.h>)."""
_LEGACY_OFFSET = 160
_LEGACY_SIZE = 16
_LEGACY_REGISTERS = 16
_UPPER_SIZE = 64
_LOWEST = 16

_UPPER_OFFSET_CODE = bytes.fromhex(
    "53 b80d000000 b907000000 0fa2 89d8 5b c3"  # push %rbx; cpuid leaf 0xd, subleaf 7; mov %ebx,%eax; pop %rbx; ret
)


def vector_register(area: bytes, number: int) -> bytes:
    """The lowest 16 bytes of vector register ``number`` (0 to 31; numbers from 16 on need AVX-512). ``area``: the XSAVE
    area of a stopped thread."""
    if number < _LEGACY_REGISTERS:
        at = _LEGACY_OFFSET + _LEGACY_SIZE * number
    else:
        at = _upper_offset() + _UPPER_SIZE * (number - _LEGACY_REGISTERS)
    return area[at : at + _LOWEST]


@cache
def _upper_offset() -> int:
    """The offset of registers 16 to 31 in the XSAVE area. The offset differs between processors, so it is read with
    CPUID."""
    return int(ctypes.CFUNCTYPE(ctypes.c_uint32)(executable(_UPPER_OFFSET_CODE))())
