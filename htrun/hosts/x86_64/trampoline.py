"""The trampoline that replaces a site's store: it writes a record into the thread's ring, or makes the original store.

A trampoline runs in the tracee between the site and the instruction after it. Its steps:

1. Save four registers, and the flags if they are live, to the stack *below* the red zone, without changing ``rsp``.
   This is safe because no signal is delivered to a thread inside a trampoline: htrun sees each signal first, and moves
   the thread out. Since ``rsp`` does not change, stores through ``rsp`` and of ``rsp`` need no special code.
2. Compute the address and the value of the store.
3. If the address is not the control word, or the index is out of range, or the thread has no ring: restore everything
   and make the original store (`Trampoline.original`), which traps if it writes to the control region.
4. If the packet is full, jump to the runtime stub (`build_runtime`). The stub starts the next packet, or counts a lost
   event, or selects the original store.
5. Otherwise write the record, publish it by one store to `POSITION`, restore everything, and jump past the site.

A trampoline makes no call, changes no vector register, and writes no memory of the guest except the stack below the red
zone. `htrun.rings.layout` describes the memory that it uses.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from iced_x86 import Code, Decoder, Instruction, Register
from iced_x86 import MemoryOperand as Operand

from htrun.hosts.host import NotAStore, TrampolineContext
from htrun.hosts.x86_64 import instructions as asm
from htrun.hosts.x86_64.store import ImmediateSource, MemoryOperand, RegisterSource, Store, VectorSource
from htrun.hosts.x86_64.templates import Linked, Piece, Place, Relative, Template
from htrun.rings import layout as ring

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber

RED_ZONE = 128
"""The number of bytes below ``rsp`` that belong to the interrupted code (System V ABI, 3.2.2)."""

EVENT_SIZES = (4, 8)
"""The sizes in bytes of stores that can stand for events."""

_SAVED = tuple(-RED_ZONE - 8 * number for number in range(1, 6))
_FLAGS = -RED_ZONE - 48
_SPILL = -RED_ZONE - 56
_VALUE = -RED_ZONE - 64

_LAHF_FLAGS = 0xD5
"""The flags that ``lahf`` saves: SF, ZF, AF, PF and CF."""
_OVERFLOW = 0x800

_UNROLLED_ARGS = 16
"""The maximum number of arguments that are copied without a loop. A loop needs one more register."""
_ARGS_A_TURN = 4

_JUMP = 5
"""The length of a jump in bytes. The runtime stub returns to one of three consecutive jumps."""
_LOST = 2 * _JUMP
"""The offset of the third jump, to which the stub returns after it has counted a lost event."""

RUNTIME_RCX, RUNTIME_WAY_BACK = _SPILL, _VALUE
"""The offsets from ``rsp`` at which the runtime stub keeps two registers. It keeps RCX from its first instruction on,
and RDX while it uses RDX."""


class Trampoline(NamedTuple):
    """The machine code for one site. All offsets are bytes from ``address``.

    ``address``: the address of ``code``. ``entry``: the target of the site's jump. ``original``: the offset of the
    original store. If this store faults, the fault is the guest's own. At this offset, all registers have the values
    that they had at the site, and so have the flags if they are live. ``prepared``: the last offset at which no
    register is changed. At later offsets, the original values of registers are on the stack; ``saved`` contains the
    names of these registers, and the offsets of their values from ``rsp``. ``flags_saved``: the last offset at which
    the flags are unchanged. At later offsets, `flags_at_site` restores the flags from the word at ``flags_place`` (None
    if the flags are dead). ``commit``: the offset of the instruction that publishes the record. ``leave``: the first
    instruction on the way to ``exit``, the jump past the site after a record was published or a loss was counted.
    ``undo``: the first instruction on the way to ``original``.
    """

    address: int
    code: bytes
    entry: int
    original: int
    prepared: int
    saved: tuple[tuple[str, int], ...]
    flags_saved: int
    flags_place: int | None
    commit: int
    leave: int
    exit: int
    undo: int
    ways_back: int

    def __contains__(self, address: object) -> bool:
        """Whether ``address``, a program counter, is inside the trampoline."""
        return isinstance(address, int) and 0 <= address - self.address < len(self.code)

    def is_before_commit(self, offset: int) -> bool:
        """Whether a thread that is about to execute the instruction at ``offset`` has not published its record yet.

        If so, the thread will publish the record, or make the original store. Otherwise the thread continues after the
        site.
        """
        return not (self.leave <= offset < self.undo or offset == self.ways_back + _LOST)


def flags_at_site(eflags: int, saved: int) -> int:
    """The flags register of a thread inside a trampoline, with the arithmetic flags that it had at the site.

    ``saved``: the low 16 bits of the word at `Trampoline.flags_place`: the overflow flag in the low byte, the other
    flags in the high byte.
    """
    return eflags & ~(_LAHF_FLAGS | _OVERFLOW) | saved >> 8 & _LAHF_FLAGS | (saved & 1) * _OVERFLOW


class _Registers(NamedTuple):
    """The roles of registers in a trampoline. ``rax`` and ``rdx`` are always scratch registers, since ``rdtsc`` changes
    them."""

    a: RegisterNumber
    """Holds the address of the store, then the address of the ring's control block."""
    b: RegisterNumber
    """Holds the thread pointer, then the address of the record."""
    loop: RegisterNumber | None
    """Holds the counter of the argument loop; None if there is no loop."""

    @classmethod
    def for_store(cls, store: Store, num_args: int) -> _Registers:
        """Select registers that the store does not use, so that the store's registers are unchanged when the trampoline
        reads them."""
        names = {store.memory.base, store.memory.index}
        if isinstance(store.source, RegisterSource):
            names.add(store.source.name)
        taken = frozenset(getattr(Register, name.upper()) for name in names if name)
        a, b, loop = asm.registers_but(taken, 3)
        return cls(a, b, loop if num_args > _UNROLLED_ARGS else None)

    @property
    def saved(self) -> tuple[RegisterNumber, ...]:
        """All registers that a trampoline changes, in the order of their words on the stack."""
        registers = (Register.RAX, Register.RDX, self.a, self.b)
        return registers if self.loop is None else (*registers, self.loop)


def build(
    store: Store,
    code_address: int,
    context: TrampolineContext,
    at: int,
    *,
    site: int,
    flags_live: bool,
    ordered: bool,
) -> Trampoline:
    """Build the trampoline at ``at`` for ``store``, whose address is ``code_address``.

    ``site``: the number in the site's records, 32 bits.
    ``flags_live``: whether the code after the site may read the arithmetic flags. ``ordered``: whether fences separate
    the reading of the counter from the guest's code. A processor executes code hundreds of instructions ahead. Without
    the first fence, it could read the counter while a slow load before the store is still pending. Without the second
    fence, after ``rdtsc``, it could begin the following code before it has read the counter. The first fence is at the
    start of the trampoline, not next to ``rdtsc`` as in the kernel's ``rdtsc_ordered``: no part of the trampoline may
    overlap with the guest's code, since its cost would then depend on this code.

    Raises `NotAStore` for a store that cannot be an event. Raises `OutOfReach` if the store's ip-relative operand or
    the runtime stub is too far from ``at``.
    """
    if store.bits != 64 or store.size not in EVENT_SIZES:
        raise NotAStore(f"{store.text} can't be done by a trampoline")
    template, registers = _template(store, code_address, context, at, flags_live=flags_live, ordered=ordered)
    names = {
        "control": context.control_address,
        "data": context.data_address,
        "table": context.table_address,
        "likely": context.table_address + context.likely_entry,
        "runtime": context.runtime_address,
        "site": site,
        "behind": code_address + store.length,
        "target": store.memory.displacement,
    }
    return _trampoline(template.link(at, names), at, registers, flags_live)


_templates: dict[Hashable, tuple[Template, _Registers]] = {}
_MOST_TEMPLATES = 4096
"""The number of templates that are kept. A guest that generates code could need any number of them."""


def _template(
    store: Store, code_address: int, context: TrampolineContext, at: int, *, flags_live: bool, ordered: bool
) -> tuple[Template, _Registers]:
    """The template of the trampoline that `build` makes with these arguments. Trampolines whose code differs only in
    the fields of the template share it."""
    near = _is_near(code_address + store.length, at)
    # The code of a store that always writes to the control word does not depend on the address of this word.
    operand = None if _hits_always(store, context) else store.memory
    sizes = context.num_args, context.slot_stride, context.max_clients
    key = store.code, operand, sizes, context.guest_big_endian, context.self_pointers, flags_live, ordered, near
    known = _templates.get(key)
    if known is None:
        registers = _Registers.for_store(store, context.num_args)
        known = _declared(store, context, registers, flags_live=flags_live, ordered=ordered, near=near), registers
        if len(_templates) < _MOST_TEMPLATES:
            _templates[key] = known
    return known


def _declared(
    store: Store, context: TrampolineContext, registers: _Registers, *, flags_live: bool, ordered: bool, near: bool
) -> Template:
    """The declaration of a trampoline. It must not depend on anything that is not part of the key in `_template`."""
    behind = asm.jump("behind") if near else asm.jump_far("behind")
    return Template.of(
        Place("entry"),
        asm.LFENCE if ordered else (),
        _save(registers),
        Place("prepared"),
        _address(store, registers),
        _index(store, context),
        _save_flags() if flags_live else (),
        Place("flags_saved"),
        _check(store, registers, context),
        _find_ring(registers, context),
        _find_room(registers),
        _record(registers, context, ordered),
        _advance(registers, context.num_args),
        Place("commit"),
        asm.store(registers.a, ring.POSITION, registers.b),
        Place("leave"),
        _restore(registers, flags_live),
        Place("exit"),
        behind,
        Place("undo"),
        _restore(registers, flags_live),
        Place("original"),
        _original(store),
        behind,
        _find_in_table(registers),
        _next_packet(registers),
    )


class Form(NamedTuple):
    """The form of a trampoline. The length of a trampoline depends only on its form and on the numbers of arguments,
    slots and fences, not on its address. Whether it can be built also depends only on these. An ip-relative store has
    another operand at each address."""

    code: bytes
    operand: MemoryOperand
    control_address: int
    guest_big_endian: bool
    self_pointers: bool
    flags_live: bool

    @classmethod
    def of(cls, store: Store, context: TrampolineContext, *, flags_live: bool) -> Form:
        """The form of the trampoline that `build` would make with these arguments."""
        return cls(
            store.code,
            store.memory,
            context.control_address,
            context.guest_big_endian,
            context.self_pointers,
            flags_live,
        )


def build_runtime(at: int) -> bytes:
    """Build the runtime stub at ``at``. All trampolines of an address space share this stub, which handles a full
    packet.

    At its entry, RAX contains the address of the control block, and RDX the address of three jumps: try again, make the
    original store, continue after the site. The stub changes RAX, RDX, the flags, and `_SPILL` and `_VALUE` below the
    red zone. Before a trap it stores the time stamp for htrun, which sees the event only microseconds later.
    """
    return _runtime().link(at, {}).code


def runtime_lost(offset: int, way: int) -> bool:
    """Whether a thread at ``offset`` in the runtime stub has counted a lost event, so that the thread must continue
    after the site.

    ``way``: the distance in bytes from `Trampoline.ways_back` to the return address of the stub.
    """
    return way == _LOST or (way == _JUMP and offset == _runtime().places["dropped"])


@cache
def _runtime() -> Template:
    rax, rcx, rdx = Register.RAX, Register.RCX, Register.RDX
    return Template.of(
        asm.store(Register.RSP, _SPILL, rcx),
        asm.compare_memory_immediate(rax, ring.PACKET_END, 0),
        asm.jump_if(asm.JE, "trap"),
        asm.load(rcx, rax, ring.PACKET_NUMBER),
        asm.add_immediate(rcx, 1),
        asm.compare_memory(rcx, rax, ring.RELEASED),
        asm.jump_if(asm.JAE, "full"),
        asm.store(Register.RSP, _VALUE, rdx),
        asm.move(rdx, rcx),
        asm.and_memory(rdx, rax, ring.PACKET_MASK),
        asm.multiply_memory(rdx, rax, ring.PACKET_STRIDE),
        asm.add_memory(rdx, rax, ring.PACKETS),
        asm.add_immediate(rdx, ring.PACKET_HEADER),
        asm.store(rax, ring.POSITION, rdx),
        asm.add_memory(rdx, rax, ring.PACKET_PAYLOAD),
        asm.store(rax, ring.PACKET_END, rdx),
        asm.store(rax, ring.PACKET_NUMBER, rcx),
        asm.load(rdx, Register.RSP, _VALUE),
        asm.jump("back"),
        Place("full"),
        asm.compare_memory_immediate(rax, ring.ON_FULL, ring.ON_FULL_DROP),
        asm.jump_if(asm.JNE, "trap"),
        Place("drop"),
        asm.add_immediate(rdx, _JUMP),
        asm.increment_memory(rax, ring.DROPPED),
        Place("dropped"),
        asm.add_immediate(rdx, _JUMP),
        asm.jump("back"),
        Place("trap"),
        asm.store(Register.RSP, _VALUE, rdx),
        asm.move(rcx, rax),
        asm.RDTSC,
        asm.store32(rcx, ring.TRAP_TIME, rax),
        asm.store32(rcx, ring.TRAP_TIME + 4, rdx),
        asm.load(rdx, Register.RSP, _VALUE),
        asm.add_immediate(rdx, _JUMP),
        Place("back"),
        asm.load(rcx, Register.RSP, _SPILL),
        asm.jump_to(rdx),
    )


def _save(registers: _Registers) -> Iterator[Piece]:
    for register, place in zip(registers.saved, _SAVED, strict=False):
        yield asm.store(Register.RSP, place, register)


def _save_flags() -> Iterator[Piece]:
    """Save the flags by ``lahf; seto``. With the code that restores them, this costs 0.8 ns; ``pushfq; popfq`` costs
    5.5 ns. All six arithmetic flags are kept."""
    yield asm.LAHF
    yield asm.set_overflow(Register.RAX)
    yield asm.store32(Register.RSP, _FLAGS, Register.RAX)


def _restore(registers: _Registers, flags_live: bool) -> Iterator[Piece]:
    if flags_live:
        yield asm.load32(Register.RAX, Register.RSP, _FLAGS)
        yield b"\x04\x7f"  # add $0x7f,%al: overflows if and only if seto has stored 1; sahf sets the other five flags
        yield asm.SAHF
    for register, place in zip(registers.saved, _SAVED, strict=False):
        yield asm.load(register, Register.RSP, place)


def _address(store: Store, registers: _Registers) -> Iterator[Piece]:
    """Load the written address into ``a``, unless a register of the store contains this address. The flags must not
    change here: they are saved later, when RAX is free."""
    memory = store.memory
    if _is_static(store) or _plain_base(store) is not None:
        return
    if memory.base is None and memory.index is None:
        yield asm.immediate(registers.a, memory.displacement)
    else:
        instruction = _decoded(store)
        lea = Instruction.create_reg_mem(
            Code.LEA_R64_M,
            registers.a,
            Operand(instruction.memory_base, instruction.memory_index, memory.scale, 0, instruction.memory_displ_size),
        )
        lea.memory_displacement = instruction.memory_displacement
        yield asm.encode(lea)
    if memory.segment:
        yield asm.thread_pointer(memory.segment, registers.b)
        yield asm.lea(registers.a, Operand(registers.a, registers.b))


def _index(store: Store, context: TrampolineContext) -> Iterator[Piece]:
    """Load the index into RDX, in the guest's byte order. The flags do not change."""
    match store.source:
        case ImmediateSource(value):
            yield asm.immediate(Register.RDX, value)
        case RegisterSource(name):
            move = asm.move32 if store.size == 4 else asm.move
            yield move(Register.RDX, getattr(Register, name.upper()))
        case VectorSource():
            yield _spilled(store)
            load = asm.load32 if store.size == 4 else asm.load
            yield load(Register.RDX, Register.RSP, _VALUE)
    if context.guest_big_endian != store.byte_swapped:
        yield asm.byte_swap(Register.RDX, store.size)


def _check(store: Store, registers: _Registers, context: TrampolineContext) -> Iterator[Piece]:
    if not _is_static(store):
        base = _plain_base(store)
        yield from asm.constant(Register.RAX, "control")
        yield asm.compare(registers.a if base is None else base, Register.RAX)
        yield from asm.jump_if(asm.JNE, "undo")
    elif not _hits_always(store, context):
        raise NotAStore(f"{store.text} never stores to the control word")
    yield asm.compare_immediate(Register.RDX, context.max_clients)
    yield from asm.jump_if(asm.JAE, "undo")


def _find_ring(registers: _Registers, context: TrampolineContext) -> Iterator[Piece]:
    """Load the address of the thread's control block into ``a``.

    The entry of one thread is tried first, at a fixed address. So the processor can predict the branch, and knows the
    address of the ring early, independently of the code around the event.
    """
    a, b = registers.a, registers.b
    yield asm.load_self_pointer(b) if context.self_pointers else asm.thread_pointer("fs", b)
    yield from asm.constant(a, "likely")
    yield asm.compare_memory(b, a)
    yield from asm.jump_if(asm.JNE, "another")
    yield Place("found")
    yield asm.load(a, a, 8)


def _find_in_table(registers: _Registers) -> Iterator[Piece]:
    """Find the control block of any other thread; see `htrun.rings.layout.table_offsets`."""
    a, b = registers.a, registers.b
    yield Place("another")
    yield asm.multiply32(a, b, ring.TABLE_MULTIPLIER)
    yield asm.shift_right32(a, ring.TABLE_SHIFT)
    yield asm.and32(a, ring.TABLE_SIZE - ring.TABLE_ENTRY)
    yield from asm.constant(Register.RAX, "table")
    yield asm.add(a, Register.RAX)
    yield asm.compare_memory(b, a)
    yield from asm.jump_if(asm.JE, "found")
    yield asm.flip(a, ring.TABLE_ENTRY)
    yield asm.compare_memory(b, a)
    yield from asm.jump_if(asm.JE, "found")
    yield from asm.jump("undo")


def _find_room(registers: _Registers) -> Iterator[Piece]:
    """Load the address of the record into ``b``."""
    yield Place("again")
    yield asm.load(registers.b, registers.a, ring.POSITION)
    yield asm.compare_memory(registers.b, registers.a, ring.PACKET_END)
    yield from asm.jump_if(asm.JAE, "full")


def _next_packet(registers: _Registers) -> Iterator[Piece]:
    """Jump to the runtime stub. The stub can't use the stack to return, so it jumps to one of the jumps after this
    code."""
    yield Place("full")
    yield asm.move(registers.b, Register.RDX)
    yield asm.move(Register.RAX, registers.a)
    yield from asm.address_of(Register.RDX, "ways_back")
    yield from asm.jump("runtime")
    yield Place("ways_back")
    yield from asm.jump("resumed")
    yield from asm.jump("undo")
    yield from asm.jump("leave")
    yield Place("resumed")
    yield asm.move(Register.RDX, registers.b)
    yield from asm.jump("again")


def _record(registers: _Registers, context: TrampolineContext, ordered: bool) -> Iterator[Piece]:
    """Write index, arguments and time stamp to the record at ``b``."""
    slot, record = Register.RDX, registers.b
    yield from asm.store_word(record, ring.RECORD_SITE, "site")
    yield asm.store32(record, ring.RECORD_INDEX, Register.RDX)
    yield _times(slot, context.slot_stride)
    yield from asm.constant(Register.RAX, "data")
    yield asm.add(slot, Register.RAX)
    yield from _copy_args(registers, slot, record, context.num_args)
    yield asm.RDTSC + asm.LFENCE if ordered else asm.RDTSC
    yield asm.store32(record, 0, Register.RAX)
    yield asm.store32(record, 4, Register.RDX)


def _times(register: RegisterNumber, stride: int) -> bytes:
    """Turn an index into an offset. The offset is below 2**20 times 512, so it fits into 32 bits."""
    if stride & (stride - 1):
        return asm.multiply32(register, register, stride)
    return asm.shift_left(register, stride.bit_length() - 1)


def _copy_args(registers: _Registers, slot: RegisterNumber, record: RegisterNumber, count: int) -> Iterator[Piece]:
    """Copy ``count`` arguments through RAX. Many arguments are copied in a loop, so that a trampoline stays below 1
    KiB."""
    first = 0
    if registers.loop is not None:
        first = count - count % _ARGS_A_TURN
        yield from _copy_loop(registers.loop, slot, record, first)
    for number in range(first, count):
        yield asm.load(Register.RAX, slot, 8 * number)
        yield asm.store(record, ring.RECORD_HEADER + 8 * number, Register.RAX)


def _copy_loop(counter: RegisterNumber, slot: RegisterNumber, record: RegisterNumber, count: int) -> Iterator[Piece]:
    """Copy ``count`` arguments in a loop, `_ARGS_A_TURN` in each iteration. The register ``counter`` counts from ``-8 *
    count`` up to 0."""
    yield asm.encode(Instruction.create_reg_i32(Code.MOV_RM64_IMM32, counter, -8 * count))
    yield Place("turn")
    for offset in range(8 * count, 8 * (count + _ARGS_A_TURN), 8):
        source = Operand(slot, counter, 1, offset, 8)
        target = Operand(record, counter, 1, ring.RECORD_HEADER + offset, 8)
        yield asm.encode(Instruction.create_reg_mem(Code.MOV_R64_RM64, Register.RAX, source))
        yield asm.encode(Instruction.create_mem_reg(Code.MOV_RM64_R64, target, Register.RAX))
    yield asm.add_immediate(counter, 8 * _ARGS_A_TURN)
    yield from asm.jump_if(asm.JNE, "turn")


def _advance(registers: _Registers, num_args: int) -> Iterator[Piece]:
    yield asm.lea(registers.b, asm.memory(registers.b, ring.RECORD_HEADER + 8 * num_args))


def _is_near(behind: int, at: int) -> bool:
    """Whether a near jump from a trampoline at ``at`` reaches ``behind``, the address after the site. Only a trampoline
    without a patch can be out of reach; it needs a far jump."""
    return abs(behind - at) < (1 << 31) - ring.PAGE


def _original(store: Store) -> tuple[Piece, ...]:
    """The original store: its bytes, with an ip-relative displacement that fits its new address."""
    if not store.memory.ip_relative:
        return (store.code,)
    decoder = Decoder(64, store.code, ip=store.address)
    offsets = decoder.get_constant_offsets(decoder.decode())
    at, end = offsets.displacement_offset, offsets.displacement_offset + offsets.displacement_size
    return store.code[:at], Relative("target", store.length - end), store.code[end:]


def _spilled(store: Store) -> bytes:
    """The same store, but to the stack below the red zone. This is the only way to read a part of a vector register
    without changing another register."""
    spilled = _decoded(store).copy()
    spilled.memory_base, spilled.memory_index = Register.RSP, Register.NONE
    spilled.segment_prefix = Register.NONE
    spilled.memory_displ_size = 8
    spilled.memory_displacement = _VALUE % (1 << 64)
    return asm.encode(spilled)


def _decoded(store: Store) -> Instruction:
    return Decoder(64, store.code, ip=store.address).decode()


def _is_static(store: Store) -> bool:
    """Whether the store always writes to the same address."""
    memory = store.memory
    return memory.base is None and memory.index is None and memory.segment is None


def _hits_always(store: Store, context: TrampolineContext) -> bool:
    """Whether the store always writes to the control word."""
    return _is_static(store) and store.memory.displacement == context.control_address


def _plain_base(store: Store) -> RegisterNumber | None:
    """The register that contains the whole written address. None if there is no such register, or if it is RAX or RDX,
    since these change before the address is used."""
    memory = store.memory
    if memory.index or memory.segment or memory.displacement or memory.address_size != 8 or memory.base is None:
        return None
    register: RegisterNumber = getattr(Register, memory.base.upper())
    return None if register in (Register.RAX, Register.RDX) else register


def _trampoline(linked: Linked, at: int, registers: _Registers, flags_live: bool) -> Trampoline:
    return Trampoline(
        address=at,
        code=linked.code,
        entry=linked.offset("entry"),
        original=linked.offset("original"),
        prepared=linked.offset("prepared"),
        saved=tuple((_NAMES[register], place) for register, place in zip(registers.saved, _SAVED, strict=False)),
        flags_saved=linked.offset("flags_saved"),
        flags_place=_FLAGS if flags_live else None,
        commit=linked.offset("commit"),
        leave=linked.offset("leave"),
        exit=linked.offset("exit"),
        undo=linked.offset("undo"),
        ways_back=linked.offset("ways_back"),
    )


_NAMES = {
    Register.RAX: "rax",
    Register.RCX: "rcx",
    Register.RDX: "rdx",
    Register.RSI: "rsi",
    Register.RDI: "rdi",
    Register.R8: "r8",
    Register.R9: "r9",
    Register.R10: "r10",
    Register.R11: "r11",
}
