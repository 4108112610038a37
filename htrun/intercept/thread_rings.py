"""Maintains the table in an address space that maps thread pointers to rings. Trampolines find the ring of a thread in
it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from htrun import hosts
from htrun.events.warnings import Kind, Warnings
from htrun.intercept.arena import NoRoom
from htrun.intercept.arena_builder import ArenaBuilder
from htrun.intercept.code_writer import injection_of, take_back_by

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.intercept.guest import AddressSpace, StoppedThread, Thread
    from htrun.rings.ring import Ring
    from htrun.tracee.wait import Waiter


class ThreadRings:
    """Lets trampolines find the rings of threads."""

    def __init__(self, builder: ArenaBuilder, waiter: Waiter, warnings: Warnings) -> None:
        self._builder = builder
        self._waiter = waiter
        self._warnings = warnings

    def reach(self, stopped: StoppedThread, ring: Ring, registers: Registers) -> int:
        """Map ``ring`` into the thread's address space. Returns the address that ring 0 of the pool would have in this
        mapping; 0 if the ring cannot be mapped."""
        thread = stopped.thread
        space, arena = thread.space, thread.space.arena
        if arena is None or space.unpatchable:
            return 0
        if arena.rings.base_of(ring.number) is None:
            try:
                with injection_of(stopped, self._waiter, registers) as injection:
                    self._builder.map_rings(injection, space, thread.tid, ring.number)
            except (OSError, NoRoom) as error:
                why = error.strerror if isinstance(error, OSError) else error
                what = f"no memory for a ring in process {thread.process.pid}: {why}"
                self._warnings.warn(Kind.INJECTION, space, f"{what}; events of some of its threads trap")
        return arena.rings.base_of(ring.number) or 0

    def register(self, stopped: StoppedThread, ring: Ring, registers: Registers) -> None:
        """Let trampolines find the thread's ring by its thread pointer, unless another thread has the same pointer.

        Two threads can have the same pointer: a vfork child and its parent, or threads that were created by clone(2)
        without CLONE_SETTLS. A trampoline could not distinguish them, so both keep trapping while both exist.
        """
        thread = stopped.thread
        space, arena = thread.space, thread.space.arena
        if thread.registered and thread.pointer == registers.thread_pointer:
            return
        if arena is None or not arena.reaches(ring):
            return
        self.unregister(thread)
        if arena.pointer_seen(space.memory, registers.thread_pointer) != registers.thread_pointer:
            self._know_by_register(stopped, registers)
        space.pointers.learn(thread, registers.thread_pointer)
        if not space.pointers.others(thread):
            thread.registered = arena.table.add(space.memory, thread.pointer, ring.address)

    def _know_by_register(self, stopped: StoppedThread, registers: Registers) -> None:
        """Make trampolines identify threads by the register from now on, and remove all existing patches. The word at
        the address in the thread pointer is not the thread pointer itself: the program stores something else there, or
        it has copied the control block of another thread."""
        space = stopped.thread.space
        assert space.arena is not None
        space.arena.self_pointers = False
        patched = [site for site in space.sites.values() if site.patch is not None]
        take_back_by(stopped, self._waiter, registers, patched)
        for site in space.sites.values():
            for sibling in (site, *site.siblings.values()):
                sibling.made.clear()

    @staticmethod
    def unregister(thread: Thread) -> None:
        """Remove the thread's ring from the table, so that the thread's next event traps. This need not be done for the
        last thread of an address space, if the thread exits."""
        last = thread.exiting and len(thread.space.threads) == 1
        if thread.registered and thread.space.arena is not None and not last:
            # If the whole process was killed, its memory is already gone.
            with suppress(OSError):
                thread.space.arena.table.remove(thread.space.memory, thread.pointer)
        thread.registered = False

    def learn_pointer(self, stopped: StoppedThread) -> bool:
        """Find out whether a thread shares its thread pointer with another thread, before one of the two continues. The
        thread is at its first stop, or at the event that reports its child. Returns whether trampolines could identify
        the thread by its pointer."""
        thread = stopped.thread
        space, arena = thread.space, thread.space.arena
        if arena is None:
            return False
        thread_pointer = stopped.user_word(hosts.current().words.thread_pointer)
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
        """Whether a new thread of this address space should get a ring before its first event."""
        if space.arena is None or space.unpatchable or space.unrecorded:
            return False
        # A thread of a machine gets its stream only after it has a name.
        return space.arena.family.emits and not space.machine

    @staticmethod
    def register_ahead(thread: Thread, ring: Ring) -> None:
        """Do the same as `register`, before the thread's first event. `learn_pointer` must just have returned True for
        the thread."""
        space = thread.space
        assert space.arena is not None
        # If the process was killed meanwhile, its memory is gone.
        with suppress(OSError):
            thread.registered = space.arena.table.add(space.memory, thread.pointer, ring.address)
