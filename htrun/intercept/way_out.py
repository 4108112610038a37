"""The way out of a trampoline, for a thread that is stopped inside one.

Nothing is run for it: what a trampoline has changed it has saved, so a thread that has not yet published its record
goes back to the site, as if it had not left, and one that has goes behind it. The guest never sees it anywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.intercept.guest import Thread

if TYPE_CHECKING:
    from htrun.hosts.x86_64.registers import Registers
    from htrun.hosts.x86_64.trampoline import Trampoline
    from htrun.intercept.arena import Arena
    from htrun.intercept.sites import Site


def leave(thread: Thread, arena: Arena, registers: Registers) -> tuple[Site, Trampoline] | None:
    """Make ``registers`` those of a thread at its site or behind it; returns what it was in.

    None, with nothing changed, for a thread that stands in no trampoline: not by way of a patch, at least.
    """
    found = arena.at(registers.rip)
    if found is not None:
        site, trampoline = found
        offset = registers.rip - trampoline.address
        published = offset == trampoline.original + site.store.length or not trampoline.is_before_commit(offset)
    else:
        stub = _leave_runtime(thread, arena, registers)
        if stub is None:
            return None
        site, trampoline, published = stub
        offset = trampoline.ways_back
    if offset not in (trampoline.original, trampoline.original + site.store.length):
        _restore(thread, trampoline, offset, registers)
    registers.rip = site.address + site.store.length if published else site.address
    return site, trampoline


def _restore(thread: Thread, trampoline: Trampoline, offset: int, registers: Registers) -> None:
    from htrun.hosts.x86_64.trampoline import flags_at_site

    memory = thread.space.memory
    if offset > trampoline.prepared:
        for name, place in trampoline.saved:
            setattr(registers, name, _word(memory.read(registers.rsp + place, 8)))
    if offset > trampoline.flags_saved and trampoline.flags_place is not None:
        saved = _word(memory.read(registers.rsp + trampoline.flags_place, 2))
        registers.eflags = flags_at_site(registers.eflags, saved)


def _leave_runtime(thread: Thread, arena: Arena, registers: Registers) -> tuple[Site, Trampoline, bool] | None:
    """Go back from the stub that trampolines share to the one that called it; also whether a loss was counted."""
    from htrun.hosts.x86_64.trampoline import RUNTIME_RCX, RUNTIME_WAY_BACK, runtime_lost

    start = arena.runtime_at(registers.rip)
    if start is None:
        return None
    memory = thread.space.memory
    for way_back in (registers.rdx, _word(memory.read(registers.rsp + RUNTIME_WAY_BACK, 8))):
        found = arena.at(way_back)
        if found is not None:
            break
    else:
        return None
    site, trampoline = found
    offset = registers.rip - start
    if offset > 0:
        registers.rcx = _word(memory.read(registers.rsp + RUNTIME_RCX, 8))
    if thread.ring is not None:
        thread.ring.settle()
    return site, trampoline, runtime_lost(offset, way_back - trampoline.address - trampoline.ways_back)


def _word(data: bytes) -> int:
    return int.from_bytes(data, "little")
