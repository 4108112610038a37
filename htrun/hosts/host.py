"""The interface of a machine on which htrun traces programs. The interface names things by their roles.

Each machine has a package next to this module. `htrun.hosts.current` selects the package. Code outside this package
says, for example, "program counter", and not the name that the machine has for this register. All addresses are
addresses in the tracee.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from htrun.hosts.any_host import Machine

if TYPE_CHECKING:
    from htrun.hosts.calls import Abi, Limit, UserWords

Read = Callable[[int, int], bytes]
"""Reads a thread's memory, by address and length. Raises OSError if the memory is not mapped."""


class NotAStore(Exception):
    """The instruction is not a plain store. ``str()`` is the reason, worded for a warning."""


class OutOfReach(Exception):
    """The code would be too far from an address that it must reach."""


class Registers(ctypes.Structure):
    """The general registers of a stopped thread, as ptrace(2) reads and writes them.

    ``pc``: the program counter. ``sp``: the stack pointer. ``result``: the result of a system call; before the call,
    its number. ``call_number``: the number of the call that the thread is in. After the call, this register keeps the
    number. ``thread_pointer``: the address of the thread-local storage.
    """

    pc: int
    sp: int
    result: int
    call_number: int
    thread_pointer: int

    @property
    def bits(self) -> int:
        """64 or 32: the kind of code that the thread runs."""
        raise NotImplementedError

    @property
    def single_steps(self) -> bool:
        """Whether the thread single-steps itself."""
        raise NotImplementedError

    def stop_stepping(self) -> None:
        """Stop the thread's single-stepping of itself."""
        raise NotImplementedError

    def skip_call(self) -> None:
        """Take the thread out of its call: a call that is about to be made is skipped, and no call is restarted."""
        raise NotImplementedError

    def below_stack(self, size: int) -> int:
        """The address of ``size`` bytes below the thread's stack that the thread does not use now."""
        raise NotImplementedError

    def copy(self) -> Self:
        """An independent copy."""
        return type(self).from_buffer_copy(self)


class Store(Protocol):
    """One plain store: an instruction that writes one piece of memory and does nothing else."""

    @property
    def address(self) -> int:
        """The address of the instruction."""

    @property
    def code(self) -> bytes:
        """The instruction's bytes."""

    @property
    def length(self) -> int:
        """The length of the instruction in bytes."""

    @property
    def bits(self) -> int:
        """64 or 32: the kind of code that contains the instruction."""

    @property
    def text(self) -> str:
        """The instruction as a disassembler prints it."""

    @property
    def size(self) -> int:
        """The number of bytes that the store writes: 1 to 64."""

    @property
    def near(self) -> tuple[int, ...]:
        """The addresses that the instruction names relative to itself. A copy of the instruction must be able to reach
        these addresses."""

    @property
    def effective_address(self) -> Callable[[Registers], int]:
        """A function that computes the written address from the registers before the store."""

    @property
    def value(self) -> Callable[[Registers], int]:
        """A function that computes the stored value from the registers before the store: an unsigned little-endian
        number of ``size`` bytes. It exists only for stores whose ``register_set`` is None."""

    @property
    def register_set(self) -> int | None:
        """The set of registers (NT_* in <linux/elf.h>) that holds the value; None for the general registers."""

    def value_in(self, registers: bytes) -> int:
        """The stored value, as ``value`` returns it. ``registers``: the contents of ``register_set``."""

    @property
    def plain_value(self) -> str | int | None:
        """The name of the general register whose low bytes are stored unchanged, or the stored constant; None for other
        stores."""


class Trampoline(Protocol):
    """The machine code to which a site's jump leads. It writes a record, or makes the original store.

    All offsets are bytes from ``address``.
    """

    @property
    def address(self) -> int:
        """The start of the trampoline, to which the site's jump leads."""

    @property
    def code(self) -> bytes:
        """The bytes of the machine code."""

    @property
    def original(self) -> int:
        """The offset of the original store. If this store faults, the fault is the guest's own. At this offset all
        registers have the values that they had at the site."""

    @property
    def ways_back(self) -> int:
        """The offset to which the runtime stub returns. The stub may also return to an address a few bytes later."""

    def __contains__(self, address: int) -> bool:
        """Whether ``address``, a program counter, is inside the trampoline."""

    def is_before_commit(self, offset: int) -> bool:
        """Whether a thread that is about to execute the instruction at ``offset`` has not published its record yet."""


class Candidate(Protocol):
    """One way to patch a site: a jump to an address in ``[low, high)``."""

    @property
    def low(self) -> int:
        """The lowest possible target of the jump."""

    @property
    def high(self) -> int:
        """The first address above the possible targets of the jump."""

    @property
    def borrowed(self) -> bytes:
        """The unchanged bytes after the store that are also part of the jump; usually none."""

    @property
    def is_pun(self) -> bool:
        """Whether the jump borrows bytes."""

    def code_for(self, entry: int) -> bytes:
        """The bytes to write over the store: a jump to ``entry``. The result is exactly as long as the store."""


class Plan(Protocol):
    """The possible ways to patch a site."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The possible jumps; the one with the widest window is first."""

    @property
    def reason(self) -> str | None:
        """The reason why there is no candidate; None if there are candidates."""


class Write(NamedTuple):
    """One write in a change of code. Every processor must see this write before the next write is made."""

    address: int
    data: bytes


class TrampolineContext(NamedTuple):
    """The properties that all trampolines of an address space share.

    ``control_address``: the control word in the guest's mapping. ``data_address``: slot 0 in htrun's own mapping.
    ``slot_stride``: the distance from one slot to the next, in bytes. ``num_args``: the number of arguments, 1 to 64.
    ``max_clients``: the number of slots, 1 to 2**20. ``table_address``: the address of the thread table, a multiple of
    32. ``guest_big_endian``: whether the values that the guest stores are big-endian. ``runtime_address``: the address
    of the stub from `Host.build_runtime`. ``self_pointers``: whether threads are identified by the word that the thread
    pointer points to. In programs with thread-local storage, this word is the thread pointer itself (Drepper, ELF
    Handling For Thread-Local Storage, 3.4.6). Otherwise threads are identified by the register. ``likely_entry``: the
    offset of the table entry that is tried first. It should be the entry of the thread that will probably emit. Any
    other entry is correct, but slower. The entry must not be all zeros.
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


class Host(Machine, Protocol):
    """A machine on which htrun traces programs; the type of ``HOST`` in a host's package."""

    # System calls.

    native: Abi
    """The interface of htrun's own calls."""
    compat: Abi
    """The other system call interface, which 32-bit programs use."""
    no_number_above: int
    """No call of either interface has this number or a greater one."""
    words: UserWords
    impossible_flags: int
    """A combination of arithmetic flags that no instruction sets. A system call keeps the flags, so this combination
    distinguishes a call that is restarted from a later call with the same arguments. The code after a call does not
    read these flags."""

    def interface(self, bits: int) -> Abi:
        """The interface that code of ``bits`` bits (64 or 32) uses."""

    def call_name(self, audit_arch: int, number: int) -> tuple[Abi, str | None]:
        """The interface by which a call was made, and the name of the call if `Abi.numbers` contains it."""

    def bits_in(self, mode: int) -> int:
        """64 or 32: the kind of code that runs in ``mode`` (`UserWords.mode`)."""

    def limit_of(self, process: int, bits: int, number: int, arguments: Sequence[int], read: Read) -> Limit | None:
        """The time limit of a call that a thread of ``process`` has made; None if there is no limit, or if the limit is
        unknown. ``read``: reads the memory of the process."""

    # Registers.

    def registers(self) -> Registers:
        """New registers, all zeros."""

    # Instructions.

    longest_instruction: int
    """The length of the longest instruction in bytes."""

    def prepare(self, num_args: int) -> Iterator[None]:
        """Load everything that `decode_store` and the methods for patches and trampolines need, in steps that take at
        most some milliseconds. ``num_args``: the number of arguments of the events."""

    def decode_store(self, code: bytes, address: int, bits: int) -> Store:
        """The store at the start of ``code``, which is at ``address`` in ``bits``-bit code. Raises `NotAStore`."""

    def ignore_store(self, code: bytes, registers: Registers, fault: int, end: int, read: Read) -> str:
        """Change ``registers`` as the instruction ``code`` would, but write no memory. If a repeated move continues at
        ``end``, only its part before ``end`` is executed.

        ``fault``: the address that must not be written. ``end``: the first later address that may be written. Returns
        the text of the instruction. Raises `NotAStore` if the instruction does not store, or does more than store.
        """

    def flags_live(self, code: bytes, address: int, behind: int, *, generated: bool, translated: bool) -> bool:
        """Whether the code from ``behind`` on may read an arithmetic flag before it writes this flag. ``code``: bytes
        of code from ``address`` on. ``generated``: whether the code comes from no file. ``translated``: whether an
        emulator has generated it."""

    # Patches.

    reach: int
    """The maximum distance in bytes between a site and its trampoline: every jump reaches the end of a trampoline at
    this distance."""
    halt_code: int
    """The si_code of the SIGSEGV that `halt` raises."""

    @property
    def halt(self) -> bytes:
        """The first bytes of a site while it is being patched: an instruction that stops a thread with SIGSEGV."""

    def plan(self, code: bytes, site: int, length: int, *, generated: bool) -> Plan:
        """Plan the patch of the store of ``length`` bytes at ``site``. ``code``: the store and some bytes after it. If
        the executable mapping ends soon after the store, ``code`` ends with the mapping."""

    def steps(self, site: int, old: bytes, new: bytes) -> tuple[Write, ...]:
        """The writes that change ``old`` to ``new`` at ``site`` while other threads execute this code."""

    # Trampolines.

    def form(self, store: Store, context: TrampolineContext, *, flags_live: bool) -> Hashable:
        """The form of a trampoline. The length of a trampoline depends only on its form and on the numbers of
        arguments, slots and fences, not on its address. Whether a trampoline can be built also depends only on
        these."""

    def build(
        self, store: Store, context: TrampolineContext, at: int, *, site: int, flags_live: bool, ordered: bool
    ) -> Trampoline:
        """Build the trampoline at ``at`` for ``store``. ``site``: the number in its records, 32 bits. ``flags_live``:
        whether the trampoline must keep the arithmetic flags. ``ordered``: whether fences separate the reading of the
        counter from the guest's code before and after. Raises `NotAStore` and `OutOfReach`."""

    def build_runtime(self, at: int) -> bytes:
        """Build the runtime stub at ``at``. All trampolines share this stub, which handles a full packet."""

    def restore(self, trampoline: Trampoline, offset: int, registers: Registers, read: Read) -> None:
        """Restore ``registers``, except the program counter, to their values at the site. The thread is at ``offset``
        in the trampoline."""

    def callers(self, registers: Registers, read: Read) -> Iterator[int]:
        """The addresses to which the runtime stub may return, for a thread that is inside the stub."""

    def restore_in_runtime(self, offset: int, registers: Registers, read: Read) -> None:
        """Restore the registers that the runtime stub has changed to the values that they had before the stub was
        called. `restore` handles the other registers. The thread is at ``offset`` in the stub."""

    def runtime_lost(self, offset: int, way: int) -> bool:
        """Whether a thread at ``offset`` in the runtime stub has counted a lost event, so that the thread must continue
        after the site. ``way``: the distance in bytes from `Trampoline.ways_back` to the return address of the stub."""
