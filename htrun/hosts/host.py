"""What the rest of htrun knows of the machine it runs on: roles instead of names.

Each machine has a package beside this module, which `htrun.hosts.current` selects. Code outside of it says "the program
counter", not what a machine calls it. Addresses are the tracee's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from htrun.events.clock import Clock, ClockSource
    from htrun.hosts.calls import Abi, Limit, UserWords

Read = Callable[[int, int], bytes]
"""Reads a thread's memory, by address and length. Raises OSError where there is none."""


class NotAStore(Exception):
    """The instruction isn't a plain store. ``str()`` says why, in words that fit a warning."""


class OutOfReach(Exception):
    """Code would be too far from an address that it must reach."""


class Registers(ctypes.Structure):
    """A stopped thread's general registers, as ptrace(2) reads and writes them.

    ``pc``: the program counter; ``sp``: the stack pointer; ``result``: of a system call, and before it its number;
    ``call_number``: that of the call a thread is in, also after it; ``thread_pointer``: where its thread-local storage
    begins.
    """

    pc: int
    sp: int
    result: int
    call_number: int
    thread_pointer: int

    @property
    def bits(self) -> int:
        """Whether the thread runs 64- or 32-bit code."""
        raise NotImplementedError

    @property
    def single_steps(self) -> bool:
        """Whether the thread single-steps itself."""
        raise NotImplementedError

    def stop_stepping(self) -> None:
        """Let the thread single-step itself no more."""
        raise NotImplementedError

    def skip_call(self) -> None:
        """The thread is in no call: one that it is about to make is not made, and none is made again."""
        raise NotImplementedError

    def below_stack(self, size: int) -> int:
        """Where ``size`` bytes begin that the thread's code does not use now, at the end of its stack."""
        raise NotImplementedError

    def copy(self) -> Self:
        """An independent copy."""
        return type(self).from_buffer_copy(self)


class Store(Protocol):
    """One plain store: an instruction that writes one piece of memory and does nothing else."""

    @property
    def address(self) -> int:
        """Of the instruction."""

    @property
    def code(self) -> bytes:
        """The instruction's bytes."""

    @property
    def length(self) -> int:
        """Their number."""

    @property
    def bits(self) -> int:
        """64 or 32, of the code it is part of."""

    @property
    def text(self) -> str:
        """The instruction as a disassembler prints it."""

    @property
    def size(self) -> int:
        """Bytes written, 1 to 64."""

    @property
    def near(self) -> tuple[int, ...]:
        """Addresses that it names relative to itself: a copy of it must lie within reach of them."""

    @property
    def effective_address(self) -> Callable[[Registers], int]:
        """The address that it writes to, given the registers before the store."""

    @property
    def value(self) -> Callable[[Registers], int]:
        """The value that it stores, as an unsigned little-endian number of ``size`` bytes, given the registers before
        the store. Only where ``register_set`` is None."""

    @property
    def register_set(self) -> int | None:
        """The registers (NT_* in <linux/elf.h>) that hold its value, if the general ones do not."""

    def value_in(self, registers: bytes) -> int:
        """As ``value``, from the contents of ``register_set``."""

    @property
    def plain_value(self) -> str | int | None:
        """The name of the general register whose low bytes it writes as they are, or the constant; else None."""


class Trampoline(Protocol):
    """The machine code that replaces one site's store: it writes a record, or does the original store.

    Offsets are bytes from ``address``.
    """

    @property
    def address(self) -> int:
        """Where it begins, and the site's jump leads."""

    @property
    def code(self) -> bytes:
        """Its bytes."""

    @property
    def original(self) -> int:
        """Offset of the original store, whose fault is the guest's own. There, all registers are those at the site."""

    @property
    def ways_back(self) -> int:
        """Offset to which the stub that trampolines share returns, or soon after."""

    def __contains__(self, address: int) -> bool:
        """Whether a program counter lies inside."""

    def is_before_commit(self, offset: int) -> bool:
        """Whether a thread that is about to run the instruction at ``offset`` has not emitted the event."""


class Candidate(Protocol):
    """One way to patch a site: a jump to an address in ``[low, high)``."""

    @property
    def low(self) -> int:
        """The lowest address that it can lead to."""

    @property
    def high(self) -> int:
        """The first address that is too high."""

    @property
    def borrowed(self) -> bytes:
        """The unchanged bytes after the store that are also part of the jump; usually none."""

    @property
    def is_pun(self) -> bool:
        """Whether there are any."""

    def code_for(self, entry: int) -> bytes:
        """The bytes to write over the store so that it jumps to ``entry``: exactly as many as the store has."""


class Plan(Protocol):
    """The ways to patch a site."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The widest window first."""

    @property
    def reason(self) -> str | None:
        """Why there are none; None if there are."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a cross-modification; every processor must be made to see it before the next one."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TrampolineContext:
    """What all trampolines of an address space share.

    ``control_address``: the control word, of the guest's mapping. ``data_address``: slot 0, of htrun's own mapping.
    ``slot_stride``: bytes from slot to slot. ``num_args``: 1 to 64. ``max_clients``: 1 to 2**20.
    ``table_address``: the thread table, at a multiple of 32. ``guest_big_endian``: how the guest means the bytes it
    stores. ``runtime_address``: where the stub of `Host.build_runtime` lies. ``self_pointers``: whether threads are
    known by the word that the thread pointer leads to, which is the thread pointer itself where there is thread-local
    storage (Drepper, ELF Handling For Thread-Local Storage, 3.4.6), and else by the register. ``likely_entry``: offset
    in the table of an entry that is not all zeros, that of the thread that is likely to come; any other only takes
    longer.
    """

    control_address: int
    data_address: int
    slot_stride: int
    num_args: int
    max_clients: int
    table_address: int
    guest_big_endian: bool
    runtime_address: int
    self_pointers: bool
    likely_entry: int


class Host(Protocol):
    """A machine that htrun runs on: the type of ``HOST`` in a host's package."""

    # System calls.

    native: Abi
    """The interface of htrun's own calls."""
    compat: Abi
    """The other interface that programs may use."""
    no_number_above: int
    """Call numbers from here on belong to neither interface."""
    words: UserWords
    impossible_flags: int
    """Flags of arithmetic that are never set together. A system call keeps them, so they distinguish a call that is
    made again from a later one with the same arguments. The code after a call does not read them."""

    def interface(self, bits: int) -> Abi:
        """The interface that code of so many bits uses."""

    def call_name(self, audit_arch: int, number: int) -> tuple[Abi, str | None]:
        """The interface a call was made by, and the call's name if `Abi.numbers` has it."""

    def bits_in(self, mode: int) -> int:
        """Whether code runs as 64- or 32-bit code in this mode (`UserWords.mode`)."""

    def limit_of(self, process: int, bits: int, number: int, arguments: Sequence[int], read: Read) -> Limit | None:
        """The time limit of a call that a thread of ``process`` has made; None if it has none, or if that is not known.
        ``read``: the process's memory."""

    # Registers and time.

    machine: int
    """ELF's e_machine, by which clients of a channel's rings know whether they run natively."""
    client_clock: int
    """How such clients call the machine's counter (`htrun.channel.ring_layout.CLOCK_TSC`)."""
    counter: str
    """The name of the clock source that machine code can read (`htrun.events.clock.ClockSource`)."""

    def registers(self) -> Registers:
        """All zeros."""

    def best_clock(self) -> Clock:
        """A clock on the processor's counter where it can be trusted, else on CLOCK_MONOTONIC."""

    def counter_source(self) -> ClockSource:
        """The processor's counter, whether it can be trusted or not."""

    # Instructions.

    longest_instruction: int
    """Bytes."""

    def decode_store(self, code: bytes, address: int, bits: int) -> Store:
        """The store at the start of ``code``, which lies at ``address`` in ``bits``-bit code. Raises `NotAStore`."""

    def ignore_store(self, code: bytes, registers: Registers, fault: int, end: int, read: Read) -> str:
        """Change ``registers``, those of a thread before the instruction ``code``, to what they are after it, with no
        memory written. Of a repeated move that goes on from ``end`` on only what lies before it is done.

        ``fault``: the address it may not write; ``end``: the first after it that it may. Returns the instruction's
        text. Raises `NotAStore` where it does not store, or does more.
        """

    def flags_live(self, code: bytes, address: int, behind: int, *, generated: bool, translated: bool) -> bool:
        """Whether the instruction at ``behind``, or one it leads to, may read a flag of arithmetic that none before it
        wrote. ``code``: from ``address`` on; ``generated``: it is no file's; ``translated``: an emulator's."""

    # Patches.

    reach: int
    """Bytes: how far a jump is sure to lead, with the length of any trampoline to spare."""
    halt_code: int
    """The si_code of the SIGSEGV that `halt` raises."""

    @property
    def halt(self) -> bytes:
        """The first bytes of a site while it is being patched: an instruction that stops a thread with SIGSEGV."""

    def plan(self, code: bytes, site: int, length: int, *, generated: bool) -> Plan:
        """How to patch the store of ``length`` bytes at ``site``. ``code``: from ``site`` on, some bytes more than the
        store's, or all up to the end of what is mapped executable."""

    def steps(self, site: int, old: bytes, new: bytes) -> tuple[Write, ...]:
        """How to turn ``old`` into ``new`` at ``site`` while other threads run it."""

    # Trampolines.

    def form(self, store: Store, context: TrampolineContext, *, flags_live: bool) -> Hashable:
        """What trampolines have in common that are equally long wherever they lie, or can't be made at all, so far as
        the same run makes them: with the same arguments, slots and fences."""

    def build(
        self, store: Store, context: TrampolineContext, at: int, *, site: int, flags_live: bool, ordered: bool
    ) -> Trampoline:
        """The trampoline at ``at`` for ``store``. ``site``: the number that its records bear, 32 bits. ``flags_live``:
        whether it must keep the flags. ``ordered``: keep the reading of the counter apart from what the guest does
        before and after. Raises `NotAStore` and `OutOfReach`."""

    def build_runtime(self, at: int) -> bytes:
        """The stub at ``at`` that trampolines share: what to do when a packet is full."""

    def restore(self, trampoline: Trampoline, offset: int, registers: Registers, read: Read) -> None:
        """Make ``registers``, those of a thread at ``offset`` in a trampoline, what they were at its site, except
        for the program counter."""

    def callers(self, registers: Registers, read: Read) -> Iterator[int]:
        """Where the stub may be about to return to, for a thread inside it."""

    def restore_in_runtime(self, offset: int, registers: Registers, read: Read) -> None:
        """Make ``registers``, those of a thread at ``offset`` in the stub, what they were in the trampoline that called
        it, as far as `restore` does not."""

    def runtime_lost(self, offset: int, way: int) -> bool:
        """Whether a thread at ``offset`` in the stub has counted a loss, so that it must go on after the site. ``way``:
        bytes from `Trampoline.ways_back` to where the stub would return now."""
