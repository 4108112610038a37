"""A stopped thread's vector registers."""

from __future__ import annotations

from htrun.tracee import ptrace

_XMM_OFFSET = 160
_XMM_SIZE = 16
_LEGACY_REGISTERS = 16


def vector_register(tid: int, number: int) -> bytes:
    """The lowest 16 bytes of vector register ``number`` (0 to 15), from the legacy part of the XSAVE area (Intel SDM
    volume 1, table 10-2). Raises ValueError for the registers that only AVX-512 has."""
    if not 0 <= number < _LEGACY_REGISTERS:
        raise ValueError(f"vector register {number} is not in the legacy area")
    at = _XMM_OFFSET + _XMM_SIZE * number
    return ptrace.extended_state(tid)[at : at + _XMM_SIZE]
