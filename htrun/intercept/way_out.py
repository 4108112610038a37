"""Moves a thread that is stopped inside a trampoline out of the trampoline.

htrun only changes the thread's registers: a trampoline saves everything that it changes, so htrun can restore it. If
the thread has not published its record yet, it is moved back to the site, as if it had not left the site. If it has
published its record, it is moved past the site. So the guest never sees a thread inside a trampoline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun import hosts
from htrun.intercept.guest import StoppedThread, Thread
from htrun.tracee.ptrace import TRAP_TRACE

if TYPE_CHECKING:
    from htrun.hosts.host import Registers, Trampoline
    from htrun.intercept.arena import Arena
    from htrun.intercept.sites import Site


def is_step_inside(stopped: StoppedThread) -> bool:
    """Whether a thread has single-stepped itself inside a trampoline. It is stopped for a SIGTRAP."""
    arena = stopped.thread.space.arena
    if arena is None or not arena.holds(stopped.user_word(hosts.current().words.pc)):
        return False
    code, _ = stopped.fault()
    return code == TRAP_TRACE


def leave_for_signal(stopped: StoppedThread) -> None:
    """Move a thread that is inside a trampoline to the site or past the site, before a signal is delivered to the
    thread."""
    thread, arena = stopped.thread, stopped.thread.space.arena
    if arena is None or not arena.holds(stopped.user_word(hosts.current().words.pc)):
        return
    registers = stopped.registers()
    if leave(thread, arena, registers) is not None:
        stopped.set_registers(registers)
        if thread.ring is not None:
            thread.ring.settle()


def leave(thread: Thread, arena: Arena, registers: Registers) -> tuple[Site, Trampoline] | None:
    """Change ``registers`` to the values that they would have at the site, or past the site, without the patch. Returns
    the site and the trampoline. Returns None, without a change, if the thread is not in a trampoline, or did not enter
    the trampoline through a patch."""
    found = arena.at(registers.pc)
    if found is not None:
        site, trampoline = found
        offset = registers.pc - trampoline.address
        published = offset == trampoline.original + site.store.length or not trampoline.is_before_commit(offset)
    else:
        stub = _leave_runtime(thread, arena, registers)
        if stub is None:
            return None
        site, trampoline, published = stub
        offset = trampoline.ways_back
    if offset not in (trampoline.original, trampoline.original + site.store.length):
        hosts.current().restore(trampoline, offset, registers, thread.space.memory.read)
    registers.pc = site.address + site.store.length if published else site.address
    return site, trampoline


def _leave_runtime(thread: Thread, arena: Arena, registers: Registers) -> tuple[Site, Trampoline, bool] | None:
    """Restore ``registers`` to their values before the call of the runtime stub in which the thread is stopped. Returns
    the site, the site's trampoline, and whether a lost record was counted."""
    host, start = hosts.current(), arena.runtime_at(registers.pc)
    if start is None:
        return None
    read = thread.space.memory.read
    for way_back in host.callers(registers, read):
        found = arena.at(way_back)
        if found is not None:
            break
    else:
        return None
    site, trampoline = found
    offset = registers.pc - start
    host.restore_in_runtime(offset, registers, read)
    if thread.ring is not None:
        thread.ring.settle()
    return site, trampoline, host.runtime_lost(offset, way_back - trampoline.address - trampoline.ways_back)
