"""Replaces `Patcher` while htrun patches no site: if --no-patch is given, if machine code cannot read the clock, and
before the first channel is mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.intercept.guest import AddressSpace, Mapping, StoppedThread, Thread
    from htrun.intercept.sites import Site
    from htrun.rings.ring import Ring
    from htrun.tracee.inject import Injection


class NoThreadRings:
    """Replaces `ThreadRings` if every event traps, so that no thread looks for its ring."""

    def reach(self, _stopped: StoppedThread, _ring: Ring, _registers: Registers) -> int:
        """Return 0: the rings are not mapped in any address space."""
        return 0

    def register(self, _stopped: StoppedThread, _ring: Ring, _registers: Registers) -> None:
        """Do nothing: there is no table of threads."""

    def unregister(self, _thread: Thread) -> None:
        """Do nothing: there is no table of threads."""

    def learn_pointer(self, _stopped: StoppedThread) -> bool:
        """Return False: there are no trampolines that could identify the thread."""
        return False

    def expects_events(self, _space: AddressSpace) -> bool:
        """Return False: a thread gets its ring at its first trap."""
        return False

    def register_ahead(self, _thread: Thread, _ring: Ring) -> None:
        """Do nothing: there is no table of threads."""


class NoPatcher:
    """Replaces `Patcher`. It leaves every site unpatched, so each event traps."""

    def __init__(self) -> None:
        self.rings = NoThreadRings()

    def prepare(self, _stopped: StoppedThread, _registers: Registers) -> str:
        """Return the reason why nothing is patched."""
        return "--no-patch"

    def patch(self, _stopped: StoppedThread, _site: Site, _mapping: Mapping, _registers: Registers) -> None:
        """Do nothing: the site stays as it is."""

    def forked(self, _child: Thread, _parent: AddressSpace) -> None:
        """Do nothing: there are no patches to copy."""

    def learn_from_children(self, _thread: Thread) -> None:
        """Do nothing: no child has patches."""

    def controls_leave(self, _space: AddressSpace, _injection: Injection | None, _words: frozenset[int]) -> None:
        """Do nothing: no patch stores to the control words."""

    def mappings_changed(self, _stopped: StoppedThread, _registers: Registers) -> None:
        """Do nothing: no patch stores to the channel."""

    def abandon(self, _thread: Thread) -> None:
        """Do nothing: there are no trampolines."""
