"""x86-64: the implementation of `htrun.hosts.host.Host`.

Most modules are imported at their first use, since a program that maps no channel needs no decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.channel.ring_layout import CLOCK_TSC
from htrun.hosts.x86_64 import abi

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from htrun.events.clock import Clock, ClockSource
    from htrun.hosts import host
    from htrun.hosts.calls import Limit


class X86_64:
    """x86-64 Linux. See `htrun.hosts.host.Host` for the members."""

    native = abi.X86_64
    compat = abi.I386
    no_number_above = abi.NO_NUMBER_ABOVE
    words = abi.WORDS
    impossible_flags = abi.IMPOSSIBLE_FLAGS
    interface = staticmethod(abi.interface)
    call_name = staticmethod(abi.call_name)
    bits_in = staticmethod(abi.bits_in)

    machine = 62
    client_clock = CLOCK_TSC
    counter = "tsc"
    longest_instruction = 15
    reach = (1 << 31) - (1 << 20)
    halt_code = 0x80
    """SI_KERNEL (<asm-generic/siginfo.h>), the code of every general protection fault (Intel SDM, HLT)."""

    @property
    def halt(self) -> bytes:
        """See `Host`."""
        from htrun.hosts.x86_64.patch import HALT

        return HALT

    def limit_of(self, process: int, bits: int, number: int, arguments: Sequence[int], read: host.Read) -> Limit | None:
        """See `Host`."""
        from htrun.hosts.x86_64.wait_limits import limit_of

        return limit_of(process, bits, number, arguments, read)

    def registers(self) -> host.Registers:
        """See `Host`."""
        from htrun.hosts.x86_64.registers import Registers

        return Registers()

    def best_clock(self) -> Clock:
        """See `Host`."""
        from htrun.hosts.x86_64.counter import best_clock

        return best_clock()

    def counter_source(self) -> ClockSource:
        """See `Host`."""
        from htrun.hosts.x86_64.counter import TscSource

        return TscSource()

    def counter_reading(self) -> None:
        """See `Machine`. A program asks CPUID whether QEMU translates it."""

    def prepare(self, num_args: int) -> Iterator[None]:
        """See `Host`."""
        from htrun.hosts.x86_64.preparation import prepare

        return prepare(num_args)

    def decode_store(self, code: bytes, address: int, bits: int) -> host.Store:
        """See `Host`."""
        from htrun.hosts.x86_64.store import decode_store

        return decode_store(code, address, bits)

    def ignore_store(self, code: bytes, registers: host.Registers, fault: int, end: int, read: host.Read) -> str:
        """See `Host`."""
        from htrun.hosts.x86_64.ignored import ignore_store

        return ignore_store(code, registers, fault, end, read)

    def flags_live(self, code: bytes, address: int, behind: int, *, generated: bool, translated: bool) -> bool:
        """See `Host`."""
        from htrun.hosts.x86_64.liveness import flags_live

        return flags_live(code, address, behind, generated=generated, translated=translated)

    def plan(self, code: bytes, site: int, length: int, *, generated: bool) -> host.Plan:
        """See `Host`."""
        from htrun.hosts.x86_64.patch import plan

        return plan(code, site, length, generated=generated)

    def steps(self, site: int, old: bytes, new: bytes) -> tuple[host.Write, ...]:
        """See `Host`."""
        from htrun.hosts.x86_64.patch import steps

        return steps(site, old, new)

    def form(self, store: host.Store, context: host.TrampolineContext, *, flags_live: bool) -> Hashable:
        """See `Host`."""
        from htrun.hosts.x86_64.store import Store
        from htrun.hosts.x86_64.trampoline import Form

        assert isinstance(store, Store)
        return Form.of(store, context, flags_live=flags_live)

    def build(
        self, store: host.Store, context: host.TrampolineContext, at: int, *, site: int, flags_live: bool, ordered: bool
    ) -> host.Trampoline:
        """See `Host`."""
        from htrun.hosts.x86_64.store import Store
        from htrun.hosts.x86_64.trampoline import build

        assert isinstance(store, Store)
        return build(store, store.address, context, at, site=site, flags_live=flags_live, ordered=ordered)

    def build_runtime(self, at: int) -> bytes:
        """See `Host`."""
        from htrun.hosts.x86_64.trampoline import build_runtime

        return build_runtime(at)

    def restore(self, trampoline: host.Trampoline, offset: int, registers: host.Registers, read: host.Read) -> None:
        """See `Host`."""
        from htrun.hosts.x86_64.trampoline import Trampoline
        from htrun.hosts.x86_64.way_back import restore

        assert isinstance(trampoline, Trampoline)
        restore(trampoline, offset, registers, read)

    def callers(self, registers: host.Registers, read: host.Read) -> Iterator[int]:
        """See `Host`."""
        from htrun.hosts.x86_64.way_back import callers

        return callers(registers, read)

    def restore_in_runtime(self, offset: int, registers: host.Registers, read: host.Read) -> None:
        """See `Host`."""
        from htrun.hosts.x86_64.way_back import restore_in_runtime

        restore_in_runtime(offset, registers, read)

    def runtime_lost(self, offset: int, way: int) -> bool:
        """See `Host`."""
        from htrun.hosts.x86_64.trampoline import runtime_lost

        return runtime_lost(offset, way)


HOST: host.Host = X86_64()
