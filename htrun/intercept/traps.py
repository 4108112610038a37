"""Handles traps: a thread is stopped by SIGSEGV because a site has stored to a control region.

This is the hot path for sites that are not patched. Each event takes four ptrace requests, one look-up and one record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from htrun import hosts
from htrun.channel import layout
from htrun.channel.file import Channel
from htrun.events.clock import Clock
from htrun.events.warnings import Kind, Warnings
from htrun.hosts.fastpath import TrapWait
from htrun.hosts.host import NotAStore
from htrun.hosts.stops import KnownStore, RecordSpace
from htrun.intercept import way_out
from htrun.intercept.code_writer import met_halt
from htrun.intercept.guest import Mapping, StoppedThread, Thread
from htrun.intercept.loads import Loads
from htrun.intercept.masks import Masks
from htrun.intercept.no_patcher import NoPatcher
from htrun.intercept.patcher import Patcher
from htrun.intercept.places import PlaceFinder
from htrun.intercept.sites import Site
from htrun.rings.ring import Ring
from htrun.tracee.memory import is_not_there

if TYPE_CHECKING:
    from htrun.hosts.host import Registers

SEGV_ACCERR = 2
_INDEX_SIZES = (4, 8)
_MOST_DOUBTS = 16
"""If a thread has a fault that the code at its program counter can't have caused, htrun assumes this number of times
that another thread has changed the code. If the fault still occurs, it has another cause, such as a load from the
control region, which faults each time."""


class _CodeChanged(Exception):
    """The code at a thread's program counter is no longer the instruction that faulted."""


class Recorder(Protocol):
    """Lends rings to threads, and makes room in these rings."""

    def ring_of(self, thread: Thread, base_for: Callable[[Ring], int]) -> Ring:
        """The thread's ring, which is lent to it at its first event. ``base_for``: see `Drain.lend`."""

    def make_room(self) -> None:
        """Drain the rings, so that a full ring takes at least one more record."""

    def wake(self) -> None:
        """Make sure that the drain soon takes the record that was just written."""


class Traps:
    """Turns SIGSEGV stops into records, if they were caused by stores to a control region."""

    def __init__(
        self,
        channel: Channel,
        recorder: Recorder,
        clock: Clock,
        warnings: Warnings,
        wait: TrapWait,
        masks: Masks,
        patcher: Patcher | NoPatcher,
        met: Callable[[Site], None],
    ) -> None:
        """``met``: called with each new site."""
        self.wait = wait
        self._handled = 0
        self._sites: list[Site] = []
        self._places = PlaceFinder()
        self._channel = channel
        self._recorder = recorder
        self._met = met
        self._warnings = warnings
        self._loads = Loads(warnings)
        self._masks = masks
        self._patcher = patcher
        self._host = hosts.current()
        self._longest = self._host.longest_instruction
        self._read_clock = clock.source.read
        self._max_clients = channel.layout.max_clients

    def handle(self, stopped: StoppedThread) -> bool:
        """Handle a SIGSEGV stop. Returns False if the signal is the guest's own and must be delivered.

        If this returns True, the thread is still stopped, and must continue with `TrapWait.registers`.
        """
        thread = stopped.thread
        code, address = self.wait.facts(stopped)
        space = thread.process.space
        registers = self.wait.registers
        site = None
        if space.arena is not None:
            if code == self._host.halt_code and met_halt(space, registers.pc):
                self._masks.look(thread)
                return True
            if space.arena.holds(registers.pc):
                self._masks.look(thread)
                site, goes_on = self._back_to_site(stopped, address, registers)
                if goes_on:
                    return True
        if code <= 0:
            address = self._swallowing_fault(stopped, registers)
            code = SEGV_ACCERR
        mapping = space.mappings.find(address) if code == SEGV_ACCERR else None
        if mapping is None:
            return False
        if site is None:
            self._masks.look(thread)
        offset = address - mapping.start + mapping.offset - layout.CONTROL_OFFSET
        if offset < 0:
            return space.machine and self._ignore(thread, address, mapping.header, registers)
        if offset >= layout.CONTROL_SIZE:
            return False
        try:
            site = site or self._site_at(thread, address, registers)
        except _CodeChanged:
            # The store has not been executed. The thread will execute the code that is there now, or fault again.
            return True
        except OSError as error:
            pid = thread.process.pid
            self._warnings.warn(
                Kind.INJECTION,
                pid,
                f"cannot read the code of process {pid} ({error.strerror}): it gets a SIGSEGV for its event",
            )
            return False
        if site is None:
            return space.machine and self._ignore(thread, address, mapping.control, registers)
        site.trapped()
        self._handled += 1
        if offset == layout.EMIT_OFFSET and site.store.size in _INDEX_SIZES:
            # Machine code can read the arguments of a known trap only if they are in the channel's first memory.
            if self._emit(stopped, site, mapping, registers) and mapping.memory == 0:
                self._masks.watch(stopped, registers)
                self._learn(thread, site, address)
        else:
            self.wait.known.forget()
            self._other_store(stopped, site, offset, registers)
        registers.pc += site.store.length
        thread.signals.stepped = registers.single_steps
        return True

    def _swallowing_fault(self, stopped: StoppedThread, registers: Registers) -> int:
        """The address at which the thread's store has faulted; 0 if no store has faulted. The thread is stopped for a
        SIGSEGV that a process has sent.

        If a SIGSEGV was pending and blocked when the store faulted, the kernel has unblocked this signal, and has
        dropped the signal of the fault (kernel/signal.c, legacy_queue). The first signal must be made pending again.
        """
        thread = stopped.thread
        self._masks.look(thread)
        if not thread.signals.segv_blocked:
            return 0
        memory = thread.space.memory
        try:
            store = self._host.decode_store(memory.read(registers.pc, self._longest), registers.pc, registers.bits)
        except (NotAStore, OSError):
            return 0
        address = store.effective_address(registers)
        if thread.space.mappings.find(address) is not None:
            thread.signals.swallowed = stopped.signal_info()
        return address

    def _back_to_site(self, stopped: StoppedThread, address: int, registers: Registers) -> tuple[Site | None, bool]:
        """Handle a fault at ``address``. The thread is in a page of trampolines, and the guest must never see it there.

        Returns two values. The first is the site, if the copy of the site's store has faulted; the thread was moved to
        the site. The second is whether another instruction of the trampoline has faulted; the thread then continues
        with ``registers``.
        """
        thread, arena, at = stopped.thread, stopped.thread.space.arena, registers.pc
        assert arena is not None
        found = way_out.leave(thread, arena, registers)
        if found is None:
            return None, False
        site, trampoline = found
        if address == at or arena.serves(address):
            self._patcher.abandon(thread)
            return None, True
        if at == trampoline.address + trampoline.original:
            stopped.set_registers(registers)
            return site, False
        if registers.pc == site.address:
            # The stack has no room below, so the thread stays at the trampoline's copy of the store.
            registers.pc = trampoline.address + trampoline.original
        return None, True

    def mappings_changed(self, stopped: StoppedThread, registers: Registers) -> None:
        """Update the patches after the guest has unmapped, moved or replaced parts of the channel."""
        self._patcher.mappings_changed(stopped, registers)

    @staticmethod
    def is_step_inside(stopped: StoppedThread) -> bool:
        """Whether a thread that single-steps itself is stopped for a step inside a trampoline. The guest must not see
        such a step: to the guest, the whole trampoline is a single store."""
        return way_out.is_step_inside(stopped)

    @staticmethod
    def leave_trampoline(stopped: StoppedThread) -> None:
        """Move the thread out of a trampoline, before a signal is delivered to the thread."""
        way_out.leave_for_signal(stopped)

    @property
    def sites(self) -> Sequence[Site]:
        """All sites of the run, in the order of their numbers, which start at 1."""
        self.wait.known.settle()
        return self._sites

    @property
    def count(self) -> int:
        """The number of traps so far."""
        return self._handled + self.wait.known.count

    def _ignore(self, thread: Thread, address: int, region: tuple[int, int], registers: Registers) -> bool:
        """Ignore a store of a machine to ``region`` that is not an event. Returns False if this is impossible."""
        memory, at = thread.space.memory, registers.pc
        try:
            text = self._host.ignore_store(memory.read(at, self._longest), registers, address, region[1], memory.read)
        except NotAStore:
            return False
        self._warnings.warn(
            Kind.HEADER,
            (thread.process.pid, region),
            f"the machine of process {thread.process.pid} made an invalid store to the channel's header or control "
            f"region ({text} at {at:#x}), which is ignored",
        )
        return True

    def _emit(self, stopped: StoppedThread, site: Site, mapping: Mapping, registers: Registers) -> bool:
        """Record an event. Returns whether the site is known to keep trapping."""
        thread = stopped.thread
        index = self._index(stopped, site, registers)
        if index >= self._max_clients:
            self._warnings.warn(
                Kind.WILD_INDEX,
                (thread.process.pid, site.address),
                f"process {thread.process.pid} stored index {index:#x} to the control region at {site.address:#x}; "
                f"the channel has indexes 0 to {self._max_clients - 1} (max-clients={self._max_clients}): no event",
            )
            return False
        arguments = self._channel.arguments(index, mapping.memory)
        unpatchable = self._patcher.prepare(stopped, registers)
        ring = thread.ring or self._recorder.ring_of(
            thread, lambda ring: self._patcher.rings.reach(stopped, ring, registers)
        )
        time = ring.take_trap_time(self._read_clock())
        while not ring.append(time, site.number, index, arguments):
            self._recorder.make_room()
        try:
            if unpatchable:
                site.refused = unpatchable
            else:
                self._patcher.rings.register(stopped, ring, registers)
                if site.patch is None and not site.refused:
                    self._patcher.patch(stopped, site, mapping, registers)
        finally:
            # Not earlier, since the drain would then compete with the patcher for the interpreter.
            self._recorder.wake()
        return bool(site.refused)

    def _learn(self, thread: Thread, site: Site, address: int) -> None:
        """Let machine code handle the thread's next traps at this site, if it can."""
        process, store, ring = thread.process, site.store, thread.ring
        if process.big_endian or ring is None:
            return
        signals = thread.signals
        if not process.masks.watched or signals.segv_blocked or process.actions.ignored or signals.entering_handler:
            return
        value = store.plain_value
        if value is None:
            return
        room = ring.room()
        if room is not None:
            known = KnownStore(site.address, site.code, address, value, store.size, site.number)
            self.wait.known.learn(thread.tid, id(process.space), RecordSpace(*room), known, site.trapped)

    def _index(self, stopped: StoppedThread, site: Site, registers: Registers) -> int:
        """The index that the guest has stored: the bytes that the store writes, in the guest's byte order."""
        store = site.store
        stored = self._stored(stopped, site, registers)
        if stopped.thread.process.big_endian:
            return int.from_bytes(stored.to_bytes(store.size, "little"), "big")
        return stored

    @staticmethod
    def _stored(stopped: StoppedThread, site: Site, registers: Registers) -> int:
        """The bytes that the store writes, as a little-endian number."""
        kind = site.store.register_set
        if kind is not None:
            return site.store.value_in(stopped.register_set(kind))
        return site.store.value(registers)

    def _other_store(self, stopped: StoppedThread, site: Site, offset: int, registers: Registers) -> None:
        """Handle a store to the control region that is not an event: a hello, the second half of a 64-bit store, or a
        mistake."""
        size, process = site.store.size, stopped.thread.process
        if offset == layout.HELLO_OFFSET and size == 4:
            hello = self._stored(stopped, site, registers)
            if hello in (layout.HELLO_VALUE, int.from_bytes(layout.HELLO_VALUE.to_bytes(4, "little"), "big")):
                process.big_endian = hello != layout.HELLO_VALUE
                return
        if offset == layout.EMIT_HIGH_OFFSET and size == 4:
            return
        kind = Kind.WRONG_SIZE if offset == layout.EMIT_OFFSET else Kind.WRONG_OFFSET
        self._warnings.warn(
            kind,
            (process.pid, site.address),
            f"process {process.pid} stored {size} bytes to offset {offset:#x} of the control region at "
            f"{site.address:#x}; an event is a store of 4 or 8 bytes to offset 0: ignored",
        )

    def _site_at(self, thread: Thread, fault: int, registers: Registers) -> Site | None:
        """The site at which a thread is stopped. It may be a new site; None if the instruction is not a plain store.
        The fault is then the program's own, and htrun warns.

        Raises `_CodeChanged` if another thread has meanwhile unmapped or replaced the code.
        """
        site = self._code_at(thread, fault, registers)
        if site is not None:
            stored = site.store.effective_address(registers)
            if not stored <= fault < stored + site.store.size:
                self._expect_no_change(thread, fault, registers, site.code)
            thread.doubt.fault = None
        return site

    def _code_at(self, thread: Thread, fault: int, registers: Registers) -> Site | None:
        """The site whose code is at the thread's program counter now. Raises `_CodeChanged`."""
        space = thread.process.space
        address = registers.pc
        try:
            code = space.memory.read(address, self._longest)
        except OSError as error:
            if not is_not_there(error):
                raise
            raise _CodeChanged from error
        site = space.sites.get(address)
        if site is not None:
            if site.patch is not None:
                if code.startswith(site.patch.written):
                    # Another thread's trap has led to a patch after this thread had trapped.
                    return site
                site.lost_patch()
            if code.startswith(site.code):
                return site
            # Generated code was rewritten. Other sites may have been at this address before.
            for bytes_then, former in site.siblings.items():
                if code.startswith(bytes_then):
                    space.sites[address] = former
                    return former
        return self._new_site(thread, fault, code, registers, site)

    @staticmethod
    def _expect_no_change(thread: Thread, fault: int, registers: Registers, code: bytes) -> None:
        """Raise `_CodeChanged`, because ``code`` at the program counter can't have caused this fault. Return normally
        if the same fault has repeated too often."""
        doubt = registers.pc, fault, code
        if thread.doubt.fault != doubt:
            thread.doubt.fault, thread.doubt.times = doubt, 0
        thread.doubt.times += 1
        if thread.doubt.times <= _MOST_DOUBTS:
            raise _CodeChanged

    def _new_site(
        self, thread: Thread, fault: int, code: bytes, registers: Registers, former: Site | None
    ) -> Site | None:
        address, pid = registers.pc, thread.process.pid
        arena = thread.space.arena
        relative = arena.family.site(address, code) if arena is not None and former is None else None
        if relative is not None:
            return self._added(thread, relative.met_again())
        try:
            store = self._host.decode_store(code, address, registers.bits)
        except NotAStore as reason:
            if thread.space.machine:
                return None
            self._expect_no_change(thread, fault, registers, code)
            thread.doubt.fault = None
            self._loads.report(pid, address, reason)
            return None
        place = self._places.find(thread.space, thread.tid, address)
        site = Site(len(self._sites) + 1, pid, address, store.code, store, place)
        self._sites.append(site)
        self._met(site)
        if former is not None:
            site.succeed(former)
        return self._added(thread, site)

    @staticmethod
    def _added(thread: Thread, site: Site) -> Site:
        site.siblings[site.code] = site
        thread.space.sites[site.address] = site
        return site
