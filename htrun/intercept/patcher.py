"""Patching a site: from its first trap to a jump that makes every further event cost nanoseconds.

What may be patched is decided by safety (DESIGN section 6 in docs/architecture.md): only the store's own bytes are ever
written; bytes behind it may serve as part of a jump only where nothing rewrites them; what can't be patched goes on
trapping, and the site says why.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from htrun.channel import layout
from htrun.channel.file import Channel
from htrun.events.warnings import Kind, Warnings
from htrun.intercept.arena import ArenaBuilder, NoRoom
from htrun.intercept.guest import AddressSpace, Mapping, Thread
from htrun.intercept.sites import Patch, Site
from htrun.rings.ring import Ring, RingPool
from htrun.tracee import ptrace, stops
from htrun.tracee.inject import Injection, requeue
from htrun.tracee.ptrace import Request
from htrun.tracee.wait import Waiter
from htrun.x86.store import MAX_INSTRUCTION

if TYPE_CHECKING:
    from ptrace.binding.linux_struct import user_regs_struct

    from htrun.x86.trampoline import Trampoline, TrampolineContext

BREAKPOINT = b"\xcc"
_SIGTRAP_BIT = 1 << 4
_MEMBARRIER_SYNC_CORE = 1 << 5
_LOOK_AHEAD = 256
"""Bytes of code behind a site that are read, for the jump's borrowed bytes and to see which flags are read."""
_MOST_PATCHES = 64
"""How often a site is patched anew after its code was rewritten; then it is left alone."""


class Patcher:
    """Patches sites and takes patches back. Every method is for a thread that is stopped at a trap."""

    def __init__(
        self, channel: Channel, pool: RingPool, waiter: Waiter, warnings: Warnings, *, ordered: bool
    ) -> None:
        self._channel = channel
        self._waiter = waiter
        self._warnings = warnings
        self._ordered = ordered
        self._builder = ArenaBuilder(channel, pool)

    def prepare(self, thread: Thread, mapping: Mapping, registers: user_regs_struct) -> bool:
        """Whether the thread's address space has an arena; it is made now if it can be."""
        space = thread.space
        if space.arena is not None:
            return True
        if space.unpatchable:
            return False
        if space.abi is None or space.abi.bits != 64:
            space.unpatchable = "32-bit code"
            return False
        try:
            with Injection(thread.tid, self._waiter, space.abi, space.syscall_instruction, registers) as injection:
                space.arena = self._builder.build(injection, mapping)
        except (OSError, NoRoom) as error:
            space.unpatchable = f"no memory for trampolines in process {thread.process.pid}: {error}"
            self._warnings.warn(Kind.INJECTION, space, f"{space.unpatchable}; its events trap")
            return False
        return True

    def register(self, thread: Thread, ring: Ring, registers: user_regs_struct) -> None:
        """Let the thread's trampolines find its ring, by its thread pointer, if no other thread has the same.

        Two can: a vfork child and its parent, or threads of a raw clone without CLONE_SETTLS. A trampoline could not tell
        them apart, so they go on trapping for as long as both live.
        """
        space = thread.space
        if space.arena is None or not ring.base or (thread.registered and thread.pointer == registers.fs_base):
            return
        self.unregister(thread)
        thread.pointer = registers.fs_base
        if not any(other is not thread and other.pointer == thread.pointer for other in space.threads):
            thread.registered = space.arena.table.add(space.memory, thread.pointer, ring.address)

    @staticmethod
    def unregister(thread: Thread) -> None:
        """The thread's next event traps."""
        if thread.registered and thread.space.arena is not None:
            thread.space.arena.table.remove(thread.space.memory, thread.pointer)
        thread.registered = False

    def learn_pointer(self, thread: Thread) -> None:
        """A thread stands at its first stop, or at the event that tells of a child: see whether it shares its thread
        pointer with another, before either runs on."""
        space = thread.space
        if space.arena is None:
            return
        thread.pointer = ptrace.user_word(thread.tid, ptrace.FS_BASE_OFFSET)
        for other in space.threads:
            if other is not thread and other.registered and other.pointer == thread.pointer:
                self.unregister(other)

    @staticmethod
    def forked(child: Thread, parent: AddressSpace) -> None:
        """A child has a copy of a parent's memory, arena and patches included; no thread of it has a ring yet."""
        if parent.arena is None or child.space is parent:
            return
        arena = child.space.arena = parent.arena.fork()
        for site, trampoline in parent.arena.trampolines.values():
            arena.adopt(trampoline, child.space.sites.get(site.address, site))
        arena.table.clear(child.space.memory)

    def patch(self, thread: Thread, site: Site, mapping: Mapping, registers: user_regs_struct) -> None:
        """Patch ``site`` if that is safe; if not, the site will say why."""
        space = thread.space
        if site.refused or space.arena is None:
            return
        if site.patches >= _MOST_PATCHES:
            site.refused = "its code is rewritten again and again"
            return
        code = self._code_from(space, site)
        assert space.abi is not None
        try:
            with Injection(thread.tid, self._waiter, space.abi, space.syscall_instruction, registers) as injection:
                patch = self._build(injection, space, site, mapping, code)
                self._write(injection, space, site.address, patch.original, patch.written)
        except NoRoom as reason:
            site.refused = str(reason)
        except OSError as error:
            site.refused = f"a system call in the tracee failed: {error}"
        else:
            site.patch = patch
            site.patches += 1

    def still_holds(self, space: AddressSpace, site: Site) -> bool:
        """Whether the code at a patched site is what was written there, with the bytes it borrowed."""
        patch = site.patch
        if patch is None:
            return False
        expected = patch.written + patch.borrowed
        try:
            return space.memory.read(site.address, len(expected)) == expected
        except OSError:
            # The guest has unmapped its code.
            return False

    def mappings_changed(self, thread: Thread, registers: user_regs_struct) -> None:
        """The guest has unmapped or moved the channel: sites whose control word is gone get their own bytes back, since
        what they store there is the guest's own again."""
        space = thread.space
        gone = [
            site
            for site in space.sites.values()
            if site.patch is not None and not self._is_control(space, site.patch.control)
        ]
        if not gone or space.abi is None:
            return
        with Injection(thread.tid, self._waiter, space.abi, space.syscall_instruction, registers) as injection:
            for site in gone:
                patch = site.patch
                if patch is not None and self.still_holds(space, site):
                    self._write(injection, space, site.address, patch.written, patch.original)
                site.patch = None

    @staticmethod
    def met_breakpoint(thread: Thread) -> bool:
        """Whether a thread stopped for SIGTRAP ran on the breakpoint byte of a patch that has since been finished. It is
        sent back to the site. A breakpoint of the guest's own is still there, and the guest's."""
        space = thread.space
        at = ptrace.user_word(thread.tid, ptrace.RIP_OFFSET) - 1
        if at not in space.breakpoints or space.memory.read(at, 1) == BREAKPOINT:
            return False
        ptrace.set_user_word(thread.tid, ptrace.RIP_OFFSET, at)
        return True

    def leave_trampoline(self, thread: Thread) -> None:
        """Step a thread that is stopped for a signal to the site or behind it, if it is inside a trampoline.

        All registers are then what they would be without htrun. The signal stays the one to be delivered.
        """
        arena = thread.space.arena
        if arena is None or not arena.holds(ptrace.user_word(thread.tid, ptrace.RIP_OFFSET)):
            return
        info = ptrace.signal_info(thread.tid)
        mask = ptrace.signal_mask(thread.tid)
        held: list[int] = []
        # Nothing else may come between; SIGTRAP must, since a blocked forced signal loses its disposition.
        ptrace.set_signal_mask(thread.tid, ~_SIGTRAP_BIT & (1 << 64) - 1)
        while True:
            at = ptrace.user_word(thread.tid, ptrace.RIP_OFFSET)
            if not arena.holds(at):
                break
            found = arena.at(at)
            if found is not None and found[1].is_original(at - found[1].address):
                ptrace.set_user_word(thread.tid, ptrace.RIP_OFFSET, found[0].address)
                break
            held += self._step(thread.tid)
        ptrace.set_signal_mask(thread.tid, mask)
        ptrace.set_signal_info(thread.tid, info)
        for number in held:
            requeue(thread.tid, number)

    def _step(self, tid: int) -> list[int]:
        """One instruction; returns the stop signal that came instead, which no mask keeps away."""
        ptrace.request(Request.SINGLESTEP, tid)
        match self._waiter.next_of(tid):
            case stops.SignalStop(_, signal.SIGTRAP):
                return []
            case stops.SignalStop(_, number) | stops.GroupStop(_, number):
                return [number]
            case stops.Exited() | stops.Killed() | stops.EventStop():
                raise ptrace.TraceeDied(tid)
            case _:
                return []

    @staticmethod
    def _is_control(space: AddressSpace, address: int) -> bool:
        mapping = space.mappings.find(address)
        return mapping is not None and mapping.control[0] <= address < mapping.control[1]

    @staticmethod
    def _code_from(space: AddressSpace, site: Site) -> bytes:
        """The code from the site on, up to the end of its mapping."""
        return space.memory.read(site.address, min(_LOOK_AHEAD, site.place.end - site.address))

    def _build(self, injection: Injection, space: AddressSpace, site: Site, mapping: Mapping, code: bytes) -> Patch:
        """Make the trampoline and find the jump that leads to it. Raises `NoRoom` with the reason when there is none."""
        from htrun.x86.liveness import flags_live
        from htrun.x86.patch import plan
        from htrun.x86.trampoline import build

        generated = not site.place.file
        behind = site.address + site.store.length
        planned = plan(code, site.address, site.store.length, generated=generated)
        if planned.reason is not None:
            raise NoRoom(planned.reason)
        live = flags_live(code, site.address, behind, generated=generated)

        def made(at: int, runtime: int) -> Trampoline:
            return build(
                site.store,
                site.address,
                self._context(space, mapping, runtime),
                at,
                site=site.number,
                flags_live=live,
                ordered=self._ordered,
            )

        windows = [(candidate.low, candidate.high) for candidate in planned.candidates]
        size = len(made(windows[0][0], windows[0][0]).code)
        number, at = self._builder.place(injection, space, windows, size)
        trampoline = made(at, self._builder.runtime_near(injection, space, at))
        assert space.arena is not None
        space.arena.write(at, trampoline.code)
        space.arena.adopt(trampoline, site)
        candidate = planned.candidates[number]
        return Patch(site.code, candidate.code_for(at), candidate.borrowed, trampoline, mapping.control[0])

    def _context(self, space: AddressSpace, mapping: Mapping, runtime: int) -> TrampolineContext:
        from htrun.x86.trampoline import TrampolineContext

        shape, arena = self._channel.layout, space.arena
        assert arena is not None
        return TrampolineContext(
            control_address=mapping.control[0],
            data_address=arena.data,
            slot_stride=shape.slot_stride,
            num_args=shape.num_args,
            max_clients=shape.max_clients,
            table_address=arena.table.address,
            guest_big_endian=self._big_endian(space),
            runtime_address=runtime,
        )

    @staticmethod
    def _big_endian(space: AddressSpace) -> bool:
        return next(iter(space.threads)).process.big_endian

    def _write(self, injection: Injection, space: AddressSpace, address: int, old: bytes, new: bytes) -> None:
        """Replace ``old`` by ``new`` while other threads may run there: a breakpoint first, the tail, the first byte,
        and a serialising barrier in all threads between (as the kernel's text_poke_bp does)."""
        from htrun.x86.patch import steps

        space.breakpoints.add(address)
        for step in steps(address, old, new):
            space.memory.write(step.address, step.data)
            if len(space.threads) > 1:
                injection.call("membarrier", _MEMBARRIER_SYNC_CORE, 0, 0)
