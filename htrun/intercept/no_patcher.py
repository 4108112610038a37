"""Replaces `Patcher` where no site is patched: with --no-patch, without a clock that machine code can read,
and until the first channel is mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.intercept.guest import AddressSpace, Mapping, StoppedThread, Thread
    from htrun.intercept.sites import Site
    from htrun.rings.ring import Ring
    from htrun.tracee.inject import Injection


class NoThreadRings:
    """Every thread traps, so none looks for its ring. Methods: as `ThreadRings`."""

    def reach(self, _stopped: StoppedThread, _ring: Ring, _registers: Registers) -> int:
        """No address space has the pool."""
        return 0

    def register(self, _stopped: StoppedThread, _ring: Ring, _registers: Registers) -> None:
        """There is no table."""

    def unregister(self, _thread: Thread) -> None:
        """There is no table."""

    def learn_pointer(self, _stopped: StoppedThread) -> bool:
        """No trampoline would know the thread."""
        return False

    def expects_events(self, _space: AddressSpace) -> bool:
        """A thread gets its ring when it first traps."""
        return False

    def register_ahead(self, _thread: Thread, _ring: Ring) -> None:
        """There is no table."""


class NoPatcher:
    """Leaves every site unpatched, so that it keeps trapping. Methods: as `Patcher`."""

    def __init__(self) -> None:
        self.rings = NoThreadRings()

    def prepare(self, _stopped: StoppedThread, _registers: Registers) -> str:
        """Why nothing is patched."""
        return "--no-patch"

    def patch(self, _stopped: StoppedThread, _site: Site, _mapping: Mapping, _registers: Registers) -> None:
        """The site traps."""

    def forked(self, _child: Thread, _parent: AddressSpace) -> None:
        """There are no patches to copy."""

    def learn_from_children(self, _thread: Thread) -> None:
        """No child has patches."""

    def controls_leave(self, _space: AddressSpace, _injection: Injection | None, _words: frozenset[int]) -> None:
        """No patch stores there."""

    def mappings_changed(self, _stopped: StoppedThread, _registers: Registers) -> None:
        """No patch stores there."""

    def abandon(self, _thread: Thread) -> None:
        """There are no trampolines."""
