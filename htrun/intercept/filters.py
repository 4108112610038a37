"""Adds a seccomp filter to a process, by calls that htrun injects into one of the process's threads."""

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
"""The bytes that are reserved for a struct sock_fprog. The filter, to which this struct points, follows."""


def add_filter(
    injection: Injection, scratch: Scratch, space: AddressSpace, abi: Abi, registers: Registers, program: bytes
) -> None:
    """Install the filter ``program`` in all threads of the process. If that is impossible, install it only in the
    thread into which the calls are injected. Raises OSError."""

    def at(address: int) -> bytes:
        header = seccomp.program_header(abi, program, address + _PROGRAM_HEADER)
        return header.ljust(_PROGRAM_HEADER, b"\0") + program

    with scratch.holding(space, registers, _PROGRAM_HEADER + len(program), at) as address:
        # With TSYNC, the result is the id of a thread that cannot get this filter, because it has already installed a
        # different filter.
        if injection.call("seccomp", 1, seccomp.FLAG_TSYNC, address) == 0:
            return
        injection.call("seccomp", 1, 0, address)
