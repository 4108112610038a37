"""Restores the registers of a thread that a trampoline has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from htrun.hosts import host
from htrun.hosts.x86_64.registers import Registers
from htrun.hosts.x86_64.trampoline import RUNTIME_RCX, RUNTIME_WAY_BACK, Trampoline, flags_at_site


def restore(trampoline: Trampoline, offset: int, registers: host.Registers, read: Callable[[int, int], bytes]) -> None:
    """Restore ``registers``, except the program counter, to their values at the site. The thread is at ``offset`` in
    the trampoline. ``read``: reads the thread's memory."""
    assert isinstance(registers, Registers)
    if offset > trampoline.prepared:
        for name, place in trampoline.saved:
            setattr(registers, name, _word(read(registers.rsp + place, 8)))
    if offset > trampoline.flags_saved and trampoline.flags_place is not None:
        saved = _word(read(registers.rsp + trampoline.flags_place, 2))
        registers.eflags = flags_at_site(registers.eflags, saved)


def callers(registers: host.Registers, read: Callable[[int, int], bytes]) -> Iterator[int]:
    """The addresses to which the runtime stub may return, for a thread that is inside the stub."""
    assert isinstance(registers, Registers)
    yield registers.rdx
    yield _word(read(registers.rsp + RUNTIME_WAY_BACK, 8))


def restore_in_runtime(offset: int, registers: host.Registers, read: Callable[[int, int], bytes]) -> None:
    """Restore the registers that the runtime stub has changed to the values that they had before the stub was called.
    `restore` handles the other registers. The thread is at ``offset`` in the stub."""
    assert isinstance(registers, Registers)
    if offset > 0:
        registers.rcx = _word(read(registers.rsp + RUNTIME_RCX, 8))


def _word(data: bytes) -> int:
    return int.from_bytes(data, "little")
