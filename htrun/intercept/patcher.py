"""Patching a site: from its first trap to a jump that makes every further event cost nanoseconds.

What may be patched is decided by safety (DESIGN section 6 in docs/architecture.md): only the store's own bytes are ever
written; bytes behind it may serve as part of a jump only where nothing rewrites them; what can't be patched goes on
trapping, and the site says why.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from htrun.channel.file import Channel
from htrun.events.warnings import Kind, Warnings
from htrun.hosts.x86_64.abi import PC_WORD, THREAD_POINTER_WORD
from htrun.intercept import way_out
from htrun.intercept.arena import NoRoom
from htrun.intercept.arena_builder import REACH, ArenaBuilder, register_barrier
from htrun.intercept.guest import AddressSpace, Mapping, Thread
from htrun.intercept.owners import owners_of, with_owners
from htrun.intercept.places import is_emulator, mapped_ranges, place_of
from htrun.intercept.sites import Patch, Site
from htrun.rings.ring import Ring, RingPool
from htrun.tracee import ptrace
from htrun.tracee.code_ranges import CodeRanges
from htrun.tracee.inject import Injection
from htrun.tracee.memory import is_not_there
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.hosts.x86_64.patch import Candidate, Write
    from htrun.hosts.x86_64.trampoline import Form, Trampoline, TrampolineContext
    from htrun.intercept import family
    from htrun.intercept.arena import Arena

_MEMBARRIER_SYNC_CORE = 1 << 5
_LOOK_AHEAD = 256
"""Bytes of code behind a site that are read, for the jump's borrowed bytes and to see which flags are read."""

_FEW_PARTS = 12
_EACH_TRAPS = "each event traps, which costs thousands of times more"


class Rewritten(Exception):
    """The guest has changed the code that was to be patched."""


class Patcher:
    """Patches sites and takes patches back. Every method is for a thread that is stopped."""

    def __init__(
        self,
        channel: Channel,
        pool: RingPool,
        ranges: CodeRanges,
        waiter: Waiter,
        warnings: Warnings,
        *,
        ordered: bool,
    ) -> None:
        """``ranges``: told where trampolines are mapped."""
        self._channel = channel
        self._waiter = waiter
        self._warnings = warnings
        self._ordered = ordered
        # Where nothing is to overlap, what lets nothing overlap is welcome: an event's cost then varies less.
        self._builder = ArenaBuilder(channel, pool, ranges, by_register=ordered)
        self._sizes: dict[Form, int] = {}

    def prepare(self, thread: Thread, registers: Registers) -> bool:
        """Whether the thread's address space has an arena; it is made now if it can be."""
        space = thread.space
        if space.unpatchable:
            return False
        if space.arena is not None:
            return True
        if space.abi is None or space.abi.bits != 64:
            space.unpatchable = "32-bit code"
            return False
        try:
            with self._injection(thread, registers) as injection:
                space.arena = self._builder.build(injection, space, thread.tid, registers.thread_pointer)
        except (OSError, NoRoom) as error:
            why = error.strerror if isinstance(error, OSError) else error
            space.unpatchable = f"no memory for trampolines in process {thread.process.pid}: {why}"
            self._warnings.warn(Kind.INJECTION, space, f"{space.unpatchable}; {_EACH_TRAPS}")
            return False
        space.arena.controls = space.mappings.control_words()
        return True

    def reach(self, thread: Thread, ring: Ring, registers: Registers) -> int:
        """Where the thread's address space has the pool, by where it has ``ring``, which it now gets; 0 if it can't."""
        space, arena = thread.space, thread.space.arena
        if arena is None or space.unpatchable:
            return 0
        if arena.rings.base_of(ring.number) is None:
            try:
                with self._injection(thread, registers) as injection:
                    self._builder.map_rings(injection, space, thread.tid, ring.number)
            except (OSError, NoRoom) as error:
                why = error.strerror if isinstance(error, OSError) else error
                what = f"no memory for a ring in process {thread.process.pid}: {why}"
                self._warnings.warn(Kind.INJECTION, space, f"{what}; events of some of its threads trap")
        return arena.rings.base_of(ring.number) or 0

    def register(self, thread: Thread, ring: Ring, registers: Registers) -> None:
        """Let the thread's trampolines find its ring, by its thread pointer, if no other thread has the same.

        Two can: a vfork child and its parent, or threads of a raw clone without CLONE_SETTLS. A trampoline could not
        tell them apart, so they go on trapping for as long as both live.
        """
        space, arena = thread.space, thread.space.arena
        if thread.registered and thread.pointer == registers.thread_pointer:
            return
        if arena is None or not arena.reaches(ring):
            return
        self.unregister(thread)
        if arena.pointer_seen(space.memory, registers.thread_pointer) != registers.thread_pointer:
            self._know_by_register(thread, registers)
        space.pointers.learn(thread, registers.thread_pointer)
        if not space.pointers.others(thread):
            thread.registered = arena.table.add(space.memory, thread.pointer, ring.address)

    def _know_by_register(self, thread: Thread, registers: Registers) -> None:
        """At fs:0 of this thread stands nothing, or another's thread pointer, as in a copy of a thread's control block:
        from now on trampolines ask the register, and those that don't are no longer led to."""
        space = thread.space
        assert space.arena is not None
        space.arena.self_pointers = False
        self._take_back_stopped(thread, registers, [site for site in space.sites.values() if site.patch is not None])
        for site in space.sites.values():
            for sibling in (site, *site.siblings.values()):
                sibling.made.clear()

    @staticmethod
    def unregister(thread: Thread) -> None:
        """The thread's next event traps."""
        if thread.registered and thread.space.arena is not None:
            # The memory is gone already where the whole process was killed.
            with suppress(OSError):
                thread.space.arena.table.remove(thread.space.memory, thread.pointer)
        thread.registered = False

    def learn_pointer(self, thread: Thread) -> bool:
        """A thread stands at its first stop, or at the event that tells of a child: see whether it shares its thread
        pointer with another, before either runs on. Returns whether trampolines would know it by its own."""
        space, arena = thread.space, thread.space.arena
        if arena is None:
            return False
        thread_pointer = ptrace.user_word(thread.tid, THREAD_POINTER_WORD)
        pointer = arena.pointer_seen(space.memory, thread_pointer) or 0
        if thread.pointer != pointer:
            self.unregister(thread)
            space.pointers.learn(thread, pointer)
        others = space.pointers.others(thread)
        for other in others:
            self.unregister(other)
        return bool(pointer) and pointer == thread_pointer and not others

    @staticmethod
    def expects_events(space: AddressSpace) -> bool:
        """Whether a thread that begins is worth a ring ahead of its first event."""
        if space.arena is None or space.unpatchable or space.unrecorded:
            return False
        # Which stream a machine's thread is of shows only when it has a name.
        return space.arena.family.emits and not space.machine

    @staticmethod
    def register_ahead(thread: Thread, ring: Ring) -> None:
        """As `register`, for a thread that `learn_pointer` has just said that of, before its first event."""
        space = thread.space
        assert space.arena is not None
        # Killed meanwhile: then its memory is gone.
        with suppress(OSError):
            thread.registered = space.arena.table.add(space.memory, thread.pointer, ring.address)

    def forked(self, child: Thread, parent: AddressSpace) -> None:
        """A child has a copy of a parent's memory, arena and patches included; no thread of it has a ring yet."""
        if parent.arena is None or child.space is parent:
            return
        space = child.space
        arena = None if parent.unpatchable else parent.arena.fork(_mapped_in(child, parent.arena.parts))
        # Killed meanwhile: nobody will use its memory.
        with suppress(OSError):
            if len(parent.threads) > 1:
                self._settle(space, parent)
            # What the guest has unmapped, or keeps from its children, a copied patch must not lead to.
            self._take_back(None, space, [site for site in space.sites.values() if not _leads_into(site, arena)])
            if arena is not None:
                space.arena = arena
                arena.controls = space.mappings.control_words()
                arena.table.clear(space.memory)
        if arena is None:
            return
        for site, trampoline in parent.arena.trampolines.values():
            if arena.holds(trampoline.address):
                twin = space.sites.get(site.address)
                arena.adopt(trampoline, twin if twin is not None and twin.number == site.number else site)

    def learn_from_children(self, thread: Thread) -> None:
        """A thread stands at the event of a fork: patch in its memory what earlier children had patched in theirs, so
        that further children inherit it and need not trap there. Only where no other thread runs in that memory, and
        not in generated code, which each process may rewrite."""
        space, arena = thread.space, thread.space.arena
        if arena is None or arena.additions == arena.family.additions or len(space.threads) > 1:
            return
        new, arena.additions = arena.family.additions - arena.additions, arena.family.additions
        if space.unpatchable or space.unrecorded or thread.process.filtered:
            return
        space.memory.reach_through(thread.tid)
        for relative in arena.family.newest(new):
            if relative.address not in space.sites and relative.place.file:
                # What fails here is not needed: each child then has it patched at its first event.
                with suppress(OSError, NoRoom, Rewritten):
                    self._patch_as_relative(thread, relative.met_again())

    def _patch_as_relative(self, thread: Thread, site: Site) -> None:
        """Patch ``site`` by what its family has made. Raises OSError, `NoRoom` or `Rewritten` if it can't be."""
        space, arena = thread.space, thread.space.arena
        assert arena is not None
        for mapping in space.mappings:
            if mapping.memory != arena.memory or mapping.control_word is None:
                continue
            control = mapping.control[0]
            if arena.family.made(site, _kind(thread, control), arena.run_at) is None:
                # Its trampoline lies in pages that only the child has.
                continue
            site.place = place_of(thread.tid, site.address)
            patch = self._of_family(thread, site, control, *self._possible(thread, site))
            if patch is not None:
                self._write(None, space, site.address, patch.original, patch.written)
                site.patch = site.made[control] = patch
                site.siblings[site.code] = site
                space.sites[site.address] = site
                return

    @staticmethod
    def _settle(space: AddressSpace, parent: AddressSpace) -> None:
        """Other threads of the parent may have had sites patched between the copying and this moment, or amid it: see
        which patches the copy has, and complete none that was in the making."""
        from htrun.hosts.x86_64.patch import HALT

        for address, site in space.sites.items():
            try:
                code = space.memory.read(address, len(site.code))
            except OSError:
                # Unmapped since, as generated code is.
                site.patch = None
                continue
            if address in parent.breakpoints and code.startswith(HALT):
                space.memory.write(address, site.code)
            if site.patch is not None and code != site.patch.written:
                site.patch = None

    def patch(self, thread: Thread, site: Site, mapping: Mapping, registers: Registers) -> None:
        """Patch ``site`` if that is safe; if not, the site will say why."""
        from htrun.hosts.x86_64.store import NotAStore
        from htrun.hosts.x86_64.templates import OutOfReach

        if site.traps < site.not_before:
            return
        if thread.process.filtered:
            site.refused = "the process has a seccomp filter of its own, which might kill it for what htrun does"
            return
        space = thread.space
        if space.arena is not None and space.arena.memory != mapping.memory:
            site.refused = "its process has two memories of the channel, and patches are for the other"
            return
        try:
            with self._injection(thread, registers) as injection:
                patch = site.patch = self._patch_for(injection, thread, site, mapping)
                site.made[patch.control] = patch
                self._write(injection, space, site.address, patch.original, patch.written)
        except (NoRoom, NotAStore, OutOfReach) as reason:
            site.refused = str(reason)
        except OSError as error:
            site.patch = None
            site.refused = f"a system call in the tracee failed: {error.strerror}"
        except Rewritten:
            site.lost_patch()

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

    def controls_leave(self, space: AddressSpace, injection: Injection | None, words: frozenset[int]) -> None:
        """The guest is about to unmap, move or replace the channel's mappings with these control words: their sites get
        their own bytes back before anything else can be mapped there, since what is stored there then is the guest's
        own."""
        self._take_back(injection, space, [site for site in space.sites.values() if _is_for(site, words)])

    def mappings_changed(self, thread: Thread, registers: Registers) -> None:
        """As `controls_leave`, where it could not be known what would become of the channel's mappings."""
        space = thread.space
        controls = space.mappings.control_words()
        if space.arena is None or controls == space.arena.controls:
            return
        space.arena.controls = controls
        gone = [site for site in space.sites.values() if site.patch is not None and site.patch.control not in controls]
        self._take_back_stopped(thread, registers, gone)

    def _take_back_stopped(self, thread: Thread, registers: Registers, sites: list[Site]) -> None:
        """Give ``sites`` their own bytes back, by way of a thread that is stopped with ``registers``."""
        if not sites:
            return
        if thread.process.filtered:
            self._take_back(None, thread.space, sites)
        else:
            with self._injection(thread, registers) as injection:
                self._take_back(injection, thread.space, sites)

    def _take_back(self, injection: Injection | None, space: AddressSpace, sites: list[Site]) -> None:
        for site in with_owners(space, sites):
            patch = site.patch
            if patch is not None and self.still_holds(space, site):
                with suppress(Rewritten):
                    self._write(injection, space, site.address, patch.written, patch.original)
            site.patch = None

    def abandon(self, thread: Thread) -> None:
        """The guest has unmapped trampolines, or what they work on: none of its sites may lead to one any more. Threads
        that are on their way through one will still find so."""
        space = thread.space
        space.unpatchable = f"process {thread.process.pid} has unmapped htrun's memory"
        self._warnings.warn(Kind.INJECTION, space, f"{space.unpatchable}; its events trap")
        self._take_back(None, space, list(space.sites.values()))
        for other in space.threads:
            other.registered = False

    @staticmethod
    def met_halt(space: AddressSpace, address: int) -> bool:
        """Whether a thread that was stopped at ``address`` ran on the halt of a patch that has since been finished. One
        that is still there is the guest's."""
        from htrun.hosts.x86_64.patch import HALT

        if address not in space.breakpoints:
            return False
        try:
            return space.memory.read(address, 1) != HALT
        except OSError:
            # Its code is gone, as it will find.
            return True

    @staticmethod
    def is_step_inside(thread: Thread) -> bool:
        """Whether a thread that is stopped for a SIGTRAP has done a step of its own inside a trampoline."""
        arena = thread.space.arena
        if arena is None or not arena.holds(ptrace.user_word(thread.tid, PC_WORD)):
            return False
        code, _ = ptrace.fault(thread.tid)
        return code == ptrace.TRAP_TRACE

    @staticmethod
    def leave_trampoline(thread: Thread) -> None:
        """A signal is about to reach the thread: if it is inside a trampoline, it goes to the site or behind it."""
        arena = thread.space.arena
        if arena is None or not arena.holds(ptrace.user_word(thread.tid, PC_WORD)):
            return
        registers = ptrace.registers_of(thread.tid)
        if way_out.leave(thread, arena, registers) is not None:
            ptrace.set_registers(thread.tid, registers)
            if thread.ring is not None:
                thread.ring.settle()

    def _injection(self, thread: Thread, registers: Registers) -> Injection:
        """Raises `NoRoom` where a call by htrun might be the thread's death."""
        space = thread.space
        assert space.abi is not None
        if thread.process.filtered:
            raise NoRoom("it has a seccomp filter of its own (as QEMU has with -sandbox)")
        return Injection(thread.tid, self._waiter, space.abi, space.syscall_instruction, registers)

    def _patch_for(self, injection: Injection, thread: Thread, site: Site, mapping: Mapping) -> Patch:
        """The trampoline, and the jump that leads to it. Raises `NoRoom`, `NotAStore` or `OutOfReach` with the reason
        when there is none."""
        if site.losses or site.made:
            site.place = place_of(thread.tid, site.address)
        candidates, live = self._possible(thread, site)
        control = mapping.control[0]
        made = site.made.get(control)
        if made is not None and _serves(made, candidates, live):
            return made
        return self._of_family(thread, site, control, candidates, live) or self._build(
            injection, thread, site, control, candidates, live
        )

    def _possible(self, thread: Thread, site: Site) -> tuple[tuple[Candidate, ...], bool]:
        """The jumps that could stand at ``site``, and whether the arithmetic flags must survive. Raises `NoRoom` with
        the reason when there are none."""
        from htrun.hosts.x86_64.liveness import flags_live
        from htrun.hosts.x86_64.patch import plan

        place, length = site.place, site.store.length
        if place.shared:
            pid = thread.process.pid
            self._warnings.warn(
                Kind.INJECTION,
                thread.space,
                f"process {pid} emits from code in memory that other processes may share, as QEMU does with "
                f"split-wx=on: {_EACH_TRAPS}",
            )
            raise NoRoom("its code is memory that other processes may share")
        if site.address + length > place.end:
            raise NoRoom("the store lies in two mappings")
        if any(self.still_holds(thread.space, other) for other in owners_of(thread.space, site)):
            raise NoRoom("its bytes are part of another site's jump")
        code = thread.space.memory.read(site.address, min(_LOOK_AHEAD, place.end - site.address))
        planned = plan(code, site.address, length, generated=not place.file)
        if planned.reason is not None:
            raise NoRoom(planned.reason)
        candidates = planned.candidates
        translated = not place.file and is_emulator(thread.tid)
        if not place.file and not translated:
            candidates = tuple(candidate for candidate in candidates if not candidate.is_pun)
            if not candidates:
                raise NoRoom("too short for a jump, and the program may rewrite the generated code after it")
        behind = site.address + length
        live = flags_live(code, site.address, behind, generated=not place.file, translated=translated)
        return candidates, live

    @staticmethod
    def _of_family(
        thread: Thread, site: Site, control: int, candidates: tuple[Candidate, ...], live: bool
    ) -> Patch | None:
        """The patch that a relative of the process has had made, if it is right here."""
        arena = thread.space.arena
        assert arena is not None
        made = arena.family.made(site, _kind(thread, control), arena.run_at)
        if made is None or not _serves(made.patch, candidates, live):
            return None
        arena.adopt(made.patch.trampoline, site)
        if made.runtime not in arena.runtimes:
            arena.runtimes.append(made.runtime)
        return made.patch

    def _build(
        self,
        injection: Injection,
        thread: Thread,
        site: Site,
        control: int,
        candidates: tuple[Candidate, ...],
        live: bool,
    ) -> Patch:
        from htrun.hosts.x86_64.trampoline import Form, build

        def made(at: int, runtime: int) -> Trampoline:
            context = self._context(thread, control, runtime)
            return build(
                site.store, site.address, context, at, site=site.number, flags_live=live, ordered=self._ordered
            )

        arena, tid = thread.space.arena, thread.tid
        assert arena is not None
        windows = [_window(candidate, site) for candidate in candidates]
        sample = next((low for low, high in windows if low < high), None)
        if sample is None:
            raise NoRoom("no address that the jump could lead to")
        # The same for all of one form, and dear to find out.
        form = Form.of(site.store, self._context(thread, control, sample), flags_live=live)
        size = self._sizes.get(form)
        if size is None:
            size = self._sizes[form] = len(made(sample, sample).code)
        number, at = self._builder.place(injection, thread.space, tid, windows, size)
        runtime = self._builder.runtime_near(injection, thread.space, tid, at)
        trampoline = made(at, runtime)
        assert len(trampoline.code) == size
        arena.write(at, trampoline.code)
        arena.adopt(trampoline, site)
        candidate = candidates[number]
        patch = Patch(site.code, candidate.code_for(at), candidate.borrowed, trampoline, control, live)
        arena.family.add(site, _kind(thread, control), patch, runtime, arena.run_at)
        return patch

    def _context(self, thread: Thread, control: int, runtime: int) -> TrampolineContext:
        from htrun.hosts.x86_64.trampoline import TrampolineContext

        shape, arena = self._channel.layout, thread.space.arena
        assert arena is not None
        return TrampolineContext(
            control_address=control,
            data_address=arena.data,
            slot_stride=shape.slot_stride,
            num_args=shape.num_args,
            max_clients=shape.max_clients,
            table_address=arena.table.address,
            guest_big_endian=thread.process.big_endian,
            runtime_address=runtime,
            self_pointers=arena.self_pointers,
            likely_entry=arena.table.place_of(thread.pointer),
        )

    def _write(self, injection: Injection | None, space: AddressSpace, address: int, old: bytes, new: bytes) -> None:
        """Replace ``old`` by ``new`` while other threads may run there: a halt first, the tail, the first byte, and a
        serializing barrier in all threads between (as the kernel's text_poke_bp does). Without an ``injection`` there
        are no barriers: the halt alone then keeps threads from a half-written instruction, on every processor seen.

        Raises `Rewritten` when something else, or nothing, stands there.
        """
        from htrun.hosts.x86_64.patch import steps

        space.breakpoints.add(address)
        expected = old
        died: ptrace.TraceeDied | None = None
        for step in steps(address, old, new):
            self._write_step(space, address, step, expected, old)
            offset = step.address - address
            expected = expected[:offset] + step.data + expected[offset + len(step.data) :]
            if injection is not None and len(space.threads) > 1:
                try:
                    _synchronize(injection)
                except ptrace.TraceeDied as death:
                    # Others may live in its memory (vfork): what was begun has to be finished.
                    died, injection = death, None
        if died is not None:
            raise died

    @staticmethod
    def _write_step(space: AddressSpace, address: int, step: Write, expected: bytes, old: bytes) -> None:
        """Write one step of the way from ``old`` to a patch at ``address``, where ``expected`` should stand. Raises
        `Rewritten`."""
        from htrun.hosts.x86_64.patch import HALT

        try:
            found = space.memory.read(address, len(old))
            if found == expected:
                space.memory.write(step.address, step.data)
                return
            if expected != old and found.startswith(HALT):
                space.memory.write(address, old[:1])
        except OSError as error:
            if not is_not_there(error):
                raise
            raise Rewritten from error
        raise Rewritten


def _mapped_in(child: Thread, parts: list[int]) -> list[tuple[int, int]]:
    """Ranges that a forked child has mapped. If ``parts``, the addresses that matter, can all be read, as in nearly all
    children, those do: each read takes a small part of the time of a look into /proc."""
    if len(parts) <= _FEW_PARTS:
        with suppress(OSError):
            if all(child.space.memory.read(address, 1) for address in parts):
                return [(address, address + 1) for address in sorted(parts)]
    return mapped_ranges(child.tid)


def _synchronize(injection: Injection) -> None:
    """Let every thread of the process serialize its instruction stream."""
    try:
        injection.call("membarrier", _MEMBARRIER_SYNC_CORE, 0, 0)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        register_barrier(injection)
        injection.call("membarrier", _MEMBARRIER_SYNC_CORE, 0, 0)


def _kind(thread: Thread, control: int) -> family.Kind:
    arena = thread.space.arena
    assert arena is not None
    return control, arena.self_pointers, thread.process.big_endian


def _is_for(site: Site, controls: frozenset[int]) -> bool:
    """Whether the site's patch records stores to one of these control words."""
    return site.patch is not None and site.patch.control in controls


def _leads_into(site: Site, arena: Arena | None) -> bool:
    """Whether the site's patch, if it has one, leads to a trampoline that ``arena`` holds."""
    return site.patch is None or (arena is not None and arena.holds(site.patch.at))


def _serves(made: Patch, candidates: tuple[Candidate, ...], live: bool) -> bool:
    """Whether a patch that was in place before is right for the code that is there now."""
    if live and not made.keeps_flags:
        return False
    return any(
        candidate.borrowed == made.borrowed
        and candidate.low <= made.at < candidate.high
        and candidate.code_for(made.at) == made.written
        for candidate in candidates
    )


def _window(candidate: Candidate, site: Site) -> tuple[int, int]:
    """Where a trampoline may start: where the jump leads, near enough to jump back, and to what the store names
    relative to itself."""
    memory = site.store.memory
    near = [site.address, memory.displacement] if memory.ip_relative else [site.address]
    low = max([candidate.low, *(address - REACH for address in near)])
    return low, min([candidate.high, *(address + REACH for address in near)])
