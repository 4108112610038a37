"""Which registers of a thread a trampoline has changed, and how to restore them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from htrun.hosts import host
from htrun.hosts.x86_64.registers import Registers
from htrun.hosts.x86_64.trampoline import RUNTIME_RCX, RUNTIME_WAY_BACK, Trampoline, flags_at_site


def restore(trampoline: Trampoline, offset: int, registers: host.Registers, read: Callable[[int, int], bytes]) -> None:
    """Make ``registers``, those of a thread at ``offset`` in a trampoline, what they were at its site but for the
    program counter. ``read``: the thread's memory."""
    assert isinstance(registers, Registers)
    if offset > trampoline.prepared:
        for name, place in trampoline.saved:
            setattr(registers, name, _word(read(registers.rsp + place, 8)))
    if offset > trampoline.flags_saved and trampoline.flags_place is not None:
        saved = _word(read(registers.rsp + trampoline.flags_place, 2))
        registers.eflags = flags_at_site(registers.eflags, saved)


def callers(registers: host.Registers, read: Callable[[int, int], bytes]) -> Iterator[int]:
    """Where the stub that trampolines share may be about to return to, for a thread inside it."""
    assert isinstance(registers, Registers)
    yield registers.rdx
    yield _word(read(registers.rsp + RUNTIME_WAY_BACK, 8))


def restore_in_runtime(offset: int, registers: host.Registers, read: Callable[[int, int], bytes]) -> None:
    """Make ``registers``, those of a thread at ``offset`` in the stub, what they were in the trampoline that called it,
    as far as `restore` does not."""
    assert isinstance(registers, Registers)
    if offset > 0:
        registers.rcx = _word(read(registers.rsp + RUNTIME_RCX, 8))


def _word(data: bytes) -> int:
    return int.from_bytes(data, "little")
