"""A trap: a thread stopped by SIGSEGV because a site stored to a control region.

This is the hot path of sites that are not patched: four ptrace requests, one look-up, one record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from htrun.channel import layout
from htrun.channel.file import Channel
from htrun.events.clock import Clock
from htrun.events.warnings import Kind, Warnings
from htrun.intercept.guest import AddressSpace, Mapping, Thread
from htrun.intercept.sites import Site
from htrun.rings.ring import Ring
from htrun.tracee.abi import USER32_CS
from htrun.tracee.trap_wait import TrapWait
from htrun.tracee.vectors import vector_register

if TYPE_CHECKING:
    from ptrace.binding.linux_struct import user_regs_struct

SEGV_ACCERR = 2
_LONGEST_INSTRUCTION = 15
_INDEX_SIZES = (4, 8)


class Recorder(Protocol):
    """Who lends rings to threads and makes room in them."""

    def ring_of(self, thread: Thread) -> Ring:
        """The thread's ring, lent on its first event."""

    def make_room(self, ring: Ring) -> None:
        """Drain a full ring, so that it takes at least one more record."""

    def wake(self) -> None:
        """A record was written: see that it is drained in time."""


class Traps:
    """Turns SIGSEGV stops that are stores to a control region into records."""

    def __init__(
        self, channel: Channel, recorder: Recorder, clock: Clock, warnings: Warnings, wait: TrapWait
    ) -> None:
        self.count = 0
        self._sites: list[tuple[int, Site]] = []
        self._wait = wait
        self._channel = channel
        self._recorder = recorder
        self._warnings = warnings
        self._read_clock = clock.source.read
        self._max_clients = channel.layout.max_clients

    def handle(self, thread: Thread) -> bool:
        """Deal with a SIGSEGV stop; False if it is the guest's own and has to be delivered.

        When True is returned the thread is still stopped, and `TrapWait.registers` are those it is to go on with.
        """
        code, address = self._wait.facts(thread.tid)
        if code != SEGV_ACCERR:
            return False
        space = thread.process.space
        mapping = space.mappings.find(address)
        if mapping is None:
            return False
        offset = address - mapping.start + mapping.offset - layout.CONTROL_OFFSET
        if not 0 <= offset < layout.CONTROL_SIZE:
            return False
        registers = self._wait.registers
        site = space.sites.get(registers.rip) or self._new_site(thread, mapping, registers)
        if site is None:
            return False
        site.traps += 1
        self.count += 1
        if offset == layout.EMIT_OFFSET and site.store.size in _INDEX_SIZES:
            self._emit(thread, site, registers)
        else:
            self._other_store(thread, site, offset, registers)
        registers.rip += site.store.length
        return True

    def sites(self) -> list[dict[str, object]]:
        """All sites of the run, for the summary."""
        return [
            {
                "pid": pid,
                "address": f"{site.address:#x}",
                "instruction": site.store.text,
                "traps": site.traps,
                "events": site.events,
            }
            for pid, site in self._sites
        ]

    def _emit(self, thread: Thread, site: Site, registers: user_regs_struct) -> None:
        index = self._index(thread, site, registers)
        if index >= self._max_clients:
            self._warnings.warn(
                Kind.WILD_INDEX,
                (thread.process.pid, site.address),
                f"process {thread.process.pid} stored index {index:#x} to the control region at {site.address:#x}; "
                f"the channel has indexes 0 to {self._max_clients - 1} (max-clients={self._max_clients}): no event",
            )
            return
        arguments = self._channel.arguments(index)
        ring = thread.ring or self._recorder.ring_of(thread)
        while not ring.append(self._read_clock(), index, arguments):
            self._recorder.make_room(ring)
        site.events += 1
        self._recorder.wake()

    def _index(self, thread: Thread, site: Site, registers: user_regs_struct) -> int:
        """The index as the guest means it: the bytes its store leaves in memory, read in the guest's byte order."""
        store = site.store
        stored = self._stored(thread, site, registers)
        if thread.process.big_endian:
            return int.from_bytes(stored.to_bytes(store.size, "little"), "big")
        return stored

    @staticmethod
    def _stored(thread: Thread, site: Site, registers: user_regs_struct) -> int:
        """The bytes the store leaves in memory, as a little-endian number."""
        if site.store.is_vector:
            return site.store.vector_value(vector_register(thread.tid, site.store.vector_register))
        return site.store.value(registers)

    def _other_store(self, thread: Thread, site: Site, offset: int, registers: user_regs_struct) -> None:
        """A store to the control region that is no event: hello, a 64-bit store's second half, or a mistake."""
        size = site.store.size
        if offset == layout.HELLO_OFFSET and size == 4:
            hello = self._stored(thread, site, registers)
            if hello in (layout.HELLO_VALUE, int.from_bytes(layout.HELLO_VALUE.to_bytes(4, "little"), "big")):
                thread.process.big_endian = hello != layout.HELLO_VALUE
                return
        if offset == layout.EMIT_HIGH_OFFSET and size == 4:
            return
        kind = Kind.WRONG_SIZE if offset == layout.EMIT_OFFSET else Kind.WRONG_OFFSET
        self._warnings.warn(
            kind,
            (thread.process.pid, site.address),
            f"process {thread.process.pid} stored {size} bytes to offset {offset:#x} of the control region at "
            f"{site.address:#x}; an event is a store of 4 or 8 bytes to offset 0: ignored",
        )

    def _new_site(self, thread: Thread, mapping: Mapping, registers: user_regs_struct) -> Site | None:
        """Decode the instruction a thread stands at; None if it is not a store (the guest's fault, and a warning)."""
        from htrun.x86.store import NotAStore, decode_store

        space: AddressSpace = thread.process.space
        address = registers.rip
        code = space.memory.read(address, _LONGEST_INSTRUCTION)
        try:
            store = decode_store(code, address, 32 if registers.cs == USER32_CS else 64)
        except NotAStore as reason:
            self._warnings.warn(
                Kind.LOAD,
                (thread.process.pid, address),
                f"process {thread.process.pid} touched the control region at {address:#x} other than by a plain "
                f"store ({reason}); it gets its SIGSEGV",
            )
            return None
        site = Site(address, code[: store.length], store)
        space.sites[address] = site
        self._sites.append((thread.process.pid, site))
        return site
