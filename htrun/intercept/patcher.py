"""Patches sites: replaces a trapping store with a jump, so that each further event costs only nanoseconds.

A patch must be safe. It changes only the bytes of the store itself. The bytes after the store may be part of the jump
only if nothing changes them. A site that can't be patched keeps trapping, and `Site.refused` contains the reason.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from htrun import hosts
from htrun.channel.file import Channel
from htrun.events.warnings import Kind, Warnings
from htrun.hosts.host import NotAStore, OutOfReach, TrampolineContext
from htrun.intercept.arena import NoRoom
from htrun.intercept.arena_builder import ArenaBuilder
from htrun.intercept.code_writer import (
    Rewritten,
    injection_of,
    settle,
    still_holds,
    take_back,
    take_back_by,
    write,
)
from htrun.intercept.guest import AddressSpace, Mapping, StoppedThread, Thread
from htrun.intercept.owners import owners_of
from htrun.intercept.places import mapped_ranges, place_in, runs_emulator
from htrun.intercept.sites import Patch, Site
from htrun.intercept.thread_rings import ThreadRings
from htrun.rings.ring import RingPool
from htrun.tracee.code_ranges import CodeRanges
from htrun.tracee.inject import Injection
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Hashable

    from htrun.hosts.host import Candidate, Registers, Trampoline
    from htrun.intercept import family
    from htrun.intercept.arena import Arena

_LOOK_AHEAD = 256
"""The number of bytes after a site that are read. They show which bytes a jump can borrow, and which flags the code
uses."""

_FEW_PARTS = 12
_EACH_TRAPS = "each event traps, which costs thousands of times as much"


class Patcher:
    """Patches sites and removes patches."""

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
        """``ranges``: the addresses at which trampolines are mapped; this class keeps it up to date."""
        self._channel = channel
        self._waiter = waiter
        self._warnings = warnings
        self._ordered = ordered
        # With --timestamp ordered, threads are identified by the register, because the cost of an event then varies
        # less. The fences prevent an overlap of events anyway.
        self._builder = ArenaBuilder(channel, pool, ranges, by_register=ordered)
        self.rings = ThreadRings(self._builder, waiter, warnings)
        self._sizes: dict[Hashable, int] = {}

    def prepare(self, stopped: StoppedThread, registers: Registers) -> str:
        """Make an arena for the thread's address space, unless there is one. Returns the reason why there can be none;
        empty if there is an arena."""
        thread, space = stopped.thread, stopped.thread.space
        if space.unpatchable or space.arena is not None:
            return space.unpatchable
        if space.abi is None or space.abi.bits != hosts.current().native.bits:
            space.unpatchable = "32-bit code"
            return space.unpatchable
        try:
            with injection_of(stopped, self._waiter, registers) as injection:
                space.arena = self._builder.build(injection, space, thread.tid, registers.thread_pointer)
        except (OSError, NoRoom) as error:
            why = error.strerror if isinstance(error, OSError) else error
            space.unpatchable = f"no memory for trampolines in process {thread.process.pid}: {why}"
            self._warnings.warn(Kind.INJECTION, space, f"{space.unpatchable}; {_EACH_TRAPS}")
            return space.unpatchable
        space.arena.controls = space.mappings.control_words()
        return ""

    def forked(self, child: Thread, parent: AddressSpace) -> None:
        """Copy the arena for a forked child, whose memory is a copy of ``parent`` with all patches. No thread of the
        child has a ring yet."""
        if parent.arena is None or child.space is parent:
            return
        space = child.space
        arena = None if parent.unpatchable else parent.arena.fork(_mapped_in(child, parent.arena.parts))
        # An OSError means that the process was killed meanwhile, so its memory is no longer used.
        with suppress(OSError):
            if len(parent.threads) > 1:
                settle(space, parent)
            # A copied patch must not lead to memory that the guest has unmapped, or that the child has not inherited.
            take_back(None, space, [site for site in space.sites.values() if not _leads_into(site, arena)])
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
        """Patch the sites of a thread that is stopped at a fork event, if earlier children have patched these sites in
        their own memory. Later children inherit the patches and need not trap. This is not done if other threads run in
        the memory, or for generated code, which each process may rewrite."""
        space, arena = thread.space, thread.space.arena
        if arena is None or arena.additions == arena.family.additions or len(space.threads) > 1:
            return
        new, arena.additions = arena.family.additions - arena.additions, arena.family.additions
        if space.unpatchable or space.unrecorded or thread.process.filtered:
            return
        space.memory.reach_through(thread.tid)
        for relative in arena.family.newest(new):
            if relative.address not in space.sites and relative.place.file:
                # A failure does no harm: each child then patches the site at its first event.
                with suppress(OSError, NoRoom, Rewritten):
                    self._patch_as_relative(thread, relative.met_again())

    def _patch_as_relative(self, thread: Thread, site: Site) -> None:
        """Patch ``site`` with a trampoline of a related process. Raises OSError, `NoRoom` or `Rewritten` if this is
        impossible."""
        space, arena = thread.space, thread.space.arena
        assert arena is not None
        for mapping in space.mappings:
            if mapping.memory != arena.memory or mapping.control_word is None:
                continue
            control = mapping.control[0]
            if arena.family.made(site, _kind(thread, control), arena.run_at) is None:
                # The trampoline lies in pages that only the child process has.
                continue
            site.place = place_in(thread.space, thread.tid, site.address)
            patch = self._of_family(thread, site, control, *self._possible(thread, site))
            if patch is not None:
                write(None, space, site.address, patch.original, patch.written)
                site.patch = site.made[control] = patch
                site.siblings[site.code] = site
                space.sites[site.address] = site
                return

    def patch(self, stopped: StoppedThread, site: Site, mapping: Mapping, registers: Registers) -> None:
        """Patch ``site`` if this is safe. Otherwise set ``site.refused`` to the reason."""
        if site.traps < site.not_before:
            return
        thread = stopped.thread
        if thread.process.filtered:
            site.refused = "the process has a seccomp filter of its own, which might kill it for a call of htrun's"
            return
        space = thread.space
        if space.arena is not None and space.arena.memory != mapping.memory:
            site.refused = (
                "the process has mapped both files of the channel, and its patches already use the other file"
            )
            return
        try:
            with injection_of(stopped, self._waiter, registers) as injection:
                patch = site.patch = self._patch_for(injection, thread, site, mapping)
                site.made[patch.control] = patch
                write(injection, space, site.address, patch.original, patch.written)
        except (NoRoom, NotAStore, OutOfReach) as reason:
            site.refused = str(reason)
        except OSError as error:
            site.patch = None
            site.refused = f"a system call in the tracee failed: {error.strerror}"
        except Rewritten:
            site.lost_patch()

    def controls_leave(self, space: AddressSpace, injection: Injection | None, words: frozenset[int]) -> None:
        """Restore the original bytes of all sites that store to the control words ``words``. The guest is about to
        unmap, move or replace the mappings that contain these words. Later stores to them are not events."""
        take_back(injection, space, [site for site in space.sites.values() if _is_for(site, words)])

    def mappings_changed(self, stopped: StoppedThread, registers: Registers) -> None:
        """Remove the patches for control words that are no longer mapped. Called after a system call whose effect on
        the mappings was not known in advance."""
        space = stopped.thread.space
        controls = space.mappings.control_words()
        if space.arena is None or controls == space.arena.controls:
            return
        space.arena.controls = controls
        gone = [site for site in space.sites.values() if site.patch is not None and site.patch.control not in controls]
        take_back_by(stopped, self._waiter, registers, gone)

    def abandon(self, thread: Thread) -> None:
        """Remove all patches in an address space in which the guest has unmapped trampolines, or memory that
        trampolines use. A thread that is inside a trampoline will fault."""
        space = thread.space
        space.unpatchable = f"process {thread.process.pid} has unmapped htrun's memory"
        self._warnings.warn(Kind.INJECTION, space, f"{space.unpatchable}; its events trap")
        take_back(None, space, list(space.sites.values()))
        for other in space.threads:
            other.registered = False

    def _patch_for(self, injection: Injection, thread: Thread, site: Site, mapping: Mapping) -> Patch:
        """Find or build the trampoline for a site, and the jump that leads to the trampoline. Raises `NoRoom`,
        `NotAStore` or `OutOfReach`, with the reason, if this is impossible."""
        if site.losses or site.made:
            site.place = place_in(thread.space, thread.tid, site.address)
        candidates, live = self._possible(thread, site)
        control = mapping.control[0]
        made = site.made.get(control)
        if made is not None and _serves(made, candidates, live):
            return made
        return self._of_family(thread, site, control, candidates, live) or self._build(
            injection, thread, site, control, candidates, live
        )

    def _possible(self, thread: Thread, site: Site) -> tuple[tuple[Candidate, ...], bool]:
        """The jumps that could replace ``site``, and whether the arithmetic flags must be preserved. Raises `NoRoom`
        with the reason if there are no jumps."""
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
            raise NoRoom("the store is in two mappings")
        if any(still_holds(thread.space, other) for other in owners_of(thread.space, site)):
            raise NoRoom("its bytes are part of another site's jump")
        code = thread.space.memory.read(site.address, min(_LOOK_AHEAD, place.end - site.address))
        planned = hosts.current().plan(code, site.address, length, generated=not place.file)
        if planned.reason is not None:
            raise NoRoom(planned.reason)
        candidates = planned.candidates
        translated = not place.file and runs_emulator(thread.space, thread.tid)
        if not place.file and not translated:
            candidates = tuple(candidate for candidate in candidates if not candidate.is_pun)
            if not candidates:
                raise NoRoom("too short for a jump, and the program may rewrite the generated code after it")
        behind = site.address + length
        live = hosts.current().flags_live(code, site.address, behind, generated=not place.file, translated=translated)
        return candidates, live

    @staticmethod
    def _of_family(
        thread: Thread, site: Site, control: int, candidates: tuple[Candidate, ...], live: bool
    ) -> Patch | None:
        """The patch that was made in a related process; None if no such patch is valid for this process, too."""
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
        host = hosts.current()

        def made(at: int, runtime: int) -> Trampoline:
            context = self._context(thread, control, runtime)
            return host.build(site.store, context, at, site=site.number, flags_live=live, ordered=self._ordered)

        arena, tid = thread.space.arena, thread.tid
        assert arena is not None
        windows = [_window(candidate, site) for candidate in candidates]
        sample = next((low for low, high in windows if low < high), None)
        if sample is None:
            raise NoRoom("the jump cannot reach any usable address")
        # The size of the code takes long to compute, and is the same for all stores of the same form, so it is cached.
        form = host.form(site.store, self._context(thread, control, sample), flags_live=live)
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


def _mapped_in(child: Thread, parts: list[int]) -> list[tuple[int, int]]:
    """The address ranges that a forked child has mapped. If all addresses in ``parts`` can be read, which is so in
    nearly all children, the result contains only these addresses: reading them is much faster than reading /proc."""
    if len(parts) <= _FEW_PARTS:
        with suppress(OSError):
            if all(child.space.memory.read(address, 1) for address in parts):
                return [(address, address + 1) for address in sorted(parts)]
    return mapped_ranges(child.tid)


def _kind(thread: Thread, control: int) -> family.Kind:
    arena = thread.space.arena
    assert arena is not None
    return control, arena.self_pointers, thread.process.big_endian


def _is_for(site: Site, controls: frozenset[int]) -> bool:
    """Whether the patch of the site records stores to one of the control words ``controls``."""
    return site.patch is not None and site.patch.control in controls


def _leads_into(site: Site, arena: Arena | None) -> bool:
    """Whether the site has no patch, or has a patch that leads to a trampoline in ``arena``."""
    return site.patch is None or (arena is not None and arena.holds(site.patch.at))


def _serves(made: Patch, candidates: tuple[Candidate, ...], live: bool) -> bool:
    """Whether a patch that was made earlier is right for the code that is at the site now."""
    if live and not made.keeps_flags:
        return False
    return any(
        candidate.borrowed == made.borrowed
        and candidate.low <= made.at < candidate.high
        and candidate.code_for(made.at) == made.written
        for candidate in candidates
    )


def _window(candidate: Candidate, site: Site) -> tuple[int, int]:
    """The range ``[low, high)`` in which a trampoline may start. The jump must reach the trampoline. The trampoline
    must reach the site, and each address that the store encodes relative to its own address."""
    near, reach = (site.address, *site.store.near), hosts.current().reach
    low = max([candidate.low, *(address - reach for address in near)])
    return low, min([candidate.high, *(address + reach for address in near)])
