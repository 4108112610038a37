"""Adds a seccomp filter of htrun's to a process, by calls injected into one of its threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.hosts.calls import Abi
from htrun.intercept.guest import AddressSpace
from htrun.intercept.scratch import Scratch
from htrun.tracee import seccomp
from htrun.tracee.inject import Injection

if TYPE_CHECKING:
    from htrun.hosts.host import Registers

_PROGRAM_HEADER = 16
"""Bytes that are reserved for a struct sock_fprog, before the filter that this struct points to."""


def add_filter(
    injection: Injection, scratch: Scratch, space: AddressSpace, abi: Abi, registers: Registers, program: bytes
) -> None:
    """Install the filter ``program`` on all threads of the process; if that is impossible, on the injected thread only.
    Raises OSError."""

    def at(address: int) -> bytes:
        header = seccomp.program_header(abi, program, address + _PROGRAM_HEADER)
        return header.ljust(_PROGRAM_HEADER, b"\0") + program

    with scratch.holding(space, registers, _PROGRAM_HEADER + len(program), at) as address:
        # With TSYNC the result is the id of a thread that cannot be given this filter, since it has one of its own.
        if injection.call("seccomp", 1, seccomp.FLAG_TSYNC, address) == 0:
            return
        injection.call("seccomp", 1, 0, address)
