"""Decodes the instruction that has stored to the control region: the address and the value.

Only a *plain store* stands for an event: an instruction that writes one piece of memory from a register or an immediate
and does nothing else. htrun makes such a store for a thread by moving its program counter past the instruction. All
other instructions are refused with the reason:

- an instruction that also reads its memory operand (``xchg``, ``xadd``, ``add %eax,(m)``, any ``lock``): a load from
  the control region is an error of the guest;
- an instruction that also changes a register (``push``, ``call``, ``stos``, ``movs``, with or without ``rep``): no
  compiler uses such an instruction for a volatile store of a variable, and filling a block that covers the control
  region is an error;
- masked AVX-512, MMX and x87 stores, and stores of segment registers: a ptrace stop does not offer their value as a
  plain function of the registers.

Importing iced-x86 takes 20 ms, so it is imported when the first instruction is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from htrun.hosts.host import NotAStore
from htrun.hosts.x86_64.vectors import REGISTER_SET, vector_register

if TYPE_CHECKING:
    from iced_x86 import Instruction
    from iced_x86._iced_x86_py import OpAccess as Access
    from iced_x86._iced_x86_py import Register as RegisterNumber

MAX_INSTRUCTION = 15
"""The maximum number of bytes of an x86 instruction."""

_MASK64 = (1 << 64) - 1


class MemoryOperand(NamedTuple):
    """The operand ``segment base + base + index * scale + displacement``. The sum without the segment base is truncated
    to ``address_size`` bytes.

    ``base``, ``index``: full register names as in ``user_regs_struct`` ("rax", "r8"), or None. ``displacement``: an
    unsigned 64-bit number; for an operand that is relative to the instruction pointer (``ip_relative``), the absolute
    address, with no base. ``segment``: "fs" or "gs"; None if the segment base is 0.
    """

    base: str | None
    # mypy compares the field with the method of tuples that has this name. Nobody calls it.
    index: str | None  # type: ignore[assignment]
    scale: int
    displacement: int
    address_size: int
    segment: str | None
    ip_relative: bool


class RegisterSource(NamedTuple):
    """A general register by its full name. The value starts at bit ``shift`` (8 for ``%ah`` and similar registers)."""

    name: str
    shift: int = 0


class ImmediateSource(NamedTuple):
    """A constant, truncated to the size of the store."""

    constant: int


class VectorSource(NamedTuple):
    """A vector register (0 to 31). The value starts at byte ``offset`` of the register."""

    register: int
    offset: int = 0


Source = RegisterSource | ImmediateSource | VectorSource


class Store:
    """One plain store.

    ``address``: the address of the instruction. ``code``: the bytes of the instruction. ``bits``: 64 or 32, the kind of
    code that contains the instruction. ``size``: the number of bytes written, 1 to 64. ``byte_swapped``: whether it is
    a ``movbe``.

    ``effective_address(regs)``: the address of the written memory. ``value(regs)``: the content of this memory after
    the store, an unsigned little-endian number of ``size`` bytes; for vector stores, see `vector_value`. Both functions
    take the registers before the store (`Registers`).
    """

    __slots__ = ("address", "bits", "byte_swapped", "code", "effective_address", "memory", "size", "source", "value")

    def __init__(
        self,
        address: int,
        code: bytes,
        bits: int,
        *,
        size: int,
        memory: MemoryOperand,
        source: Source,
        byte_swapped: bool,
    ) -> None:
        self.address = address
        self.code = code
        self.bits = bits
        self.size = size
        self.memory = memory
        self.source = source
        self.byte_swapped = byte_swapped
        self.effective_address = _address_accessor(memory, bits)
        self.value = _value_accessor(source, size, byte_swapped)

    def at(self, address: int) -> Store:
        """The same instruction at another address. It must not name an address relative to itself."""
        twin = Store.__new__(Store)
        for name in Store.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.address = address
        return twin

    @property
    def text(self) -> str:
        """The instruction in AT&T syntax. The first call takes a millisecond."""
        from iced_x86 import Decoder

        return describe(Decoder(self.bits, self.code, ip=self.address).decode())

    @property
    def length(self) -> int:
        """The length of the instruction in bytes."""
        return len(self.code)

    @property
    def segment(self) -> str | None:
        """The segment register of the operand: "fs", "gs" or None."""
        return self.memory.segment

    @property
    def vector_register(self) -> int | None:
        """The number of the stored vector register, for `vector_value`; None for other stores."""
        return self.source.register if isinstance(self.source, VectorSource) else None

    @property
    def near(self) -> tuple[int, ...]:
        """The addresses that the instruction names relative to itself."""
        return (self.memory.displacement,) if self.memory.ip_relative else ()

    @property
    def plain_value(self) -> str | int | None:
        """The name of the general register whose low bytes are stored unchanged, or the stored constant; None for other
        stores."""
        match self.source:
            case RegisterSource(name, 0) if not self.byte_swapped:
                return name
            case ImmediateSource(constant) if not self.byte_swapped:
                return constant
        return None

    @property
    def register_set(self) -> int | None:
        """The set of registers that holds the value; None for the general registers."""
        return REGISTER_SET if isinstance(self.source, VectorSource) else None

    def value_in(self, registers: bytes) -> int:
        """The stored value, as ``value`` returns it. ``registers``: the contents of ``register_set``."""
        assert isinstance(self.source, VectorSource)
        return self.vector_value(vector_register(registers, self.source.register))

    def vector_value(self, register: bytes) -> int:
        """The stored value of a vector store, as `value` returns it. ``register``: the bytes of the vector register,
        lowest first."""
        assert isinstance(self.source, VectorSource)
        return int.from_bytes(register[self.source.offset : self.source.offset + self.size], "little")


_known: dict[tuple[int, bytes], Store] = {}
"""The decoded stores, by the kind of code and the instruction's bytes, except stores with an ip-relative address."""
_lengths: set[int] = set()
"""The lengths of these instructions in bytes."""
_MOST_KNOWN = 4096
"""The number of stores that are kept. A guest that generates code could have any number of them."""


def decode_store(code: bytes, address: int, bits: int) -> Store:
    """Decode the instruction at the start of ``code``, which is at ``address`` in ``bits``-bit code (64 or 32).

    ``code`` may be longer than the instruction. Raises `NotAStore`.

    An instruction is decoded only once, since an emulator generates the same few stores at many addresses. The bytes of
    an instruction determine where it ends, so no instruction begins with all bytes of another.
    """
    for length in _lengths:
        known = _known.get((bits, code[:length]))
        if known is not None:
            return known.at(address)
    store = _decoded(code, address, bits)
    if not store.near and len(_known) < _MOST_KNOWN:
        _known[bits, store.code] = store
        _lengths.add(store.length)
    return store


def _decoded(code: bytes, address: int, bits: int) -> Store:
    from iced_x86 import Decoder

    instruction = Decoder(bits, code[:MAX_INSTRUCTION], ip=address).decode()
    _refuse_others(instruction)
    size = _size(instruction)
    memory = _memory_operand(instruction, bits)
    source = _source(instruction, size)
    byte_swapped = _swaps_bytes(instruction)
    return Store(
        address,
        bytes(code[: instruction.len]),
        bits,
        size=size,
        memory=memory,
        source=source,
        byte_swapped=byte_swapped,
    )


def describe(instruction: Instruction) -> str:
    """The instruction in AT&T syntax, as objdump prints it."""
    from iced_x86 import Formatter, FormatterSyntax

    formatter = Formatter(FormatterSyntax.GAS)
    formatter.uppercase_hex = False
    formatter.leading_zeros = False
    return formatter.format(instruction)


class _Mnemonics(NamedTuple):
    """Instructions whose first operand is in memory, and that only write this operand. Some of these instructions do
    not store the lowest part of a register, but another part."""

    plain: frozenset[int]
    high_half: frozenset[int]
    element: frozenset[int]


@cache
def _mnemonics() -> _Mnemonics:
    from iced_x86 import Mnemonic

    def numbers(names: str, prefixes: tuple[str, ...] = ("", "V")) -> frozenset[int]:
        return frozenset(getattr(Mnemonic, prefix + name) for name in names.split() for prefix in prefixes)

    vector = "MOVD MOVQ MOVSS MOVSD MOVDQA MOVDQU MOVUPS MOVAPS MOVUPD MOVAPD MOVLPS MOVLPD MOVNTDQ MOVNTPS MOVNTPD"
    masked = "DQA32 DQA64 DQU8 DQU16 DQU32 DQU64"
    high_half = numbers("MOVHPS MOVHPD")
    element = numbers("PEXTRB PEXTRW PEXTRD PEXTRQ EXTRACTPS")
    plain = numbers("MOV MOVBE MOVNTI", ("",)) | numbers(vector) | numbers(masked, ("VMOV",))
    return _Mnemonics(plain | high_half | element, high_half, element)


def storing_accesses(instruction: Instruction) -> list[Access]:
    """The memory accesses of the instruction (iced's ``OpAccess``). Raises `NotAStore` if none of these accesses is a
    store."""
    from iced_x86 import InstructionInfoFactory, OpAccess

    if instruction.is_invalid:
        raise NotAStore("not an instruction")
    accesses = [memory.access for memory in InstructionInfoFactory().info(instruction).used_memory()]
    if all(access in (OpAccess.NO_MEM_ACCESS, OpAccess.READ, OpAccess.COND_READ) for access in accesses):
        raise NotAStore(f"{describe(instruction)} stores nothing")
    return accesses


def _refuse_others(instruction: Instruction) -> None:
    from iced_x86 import OpAccess, OpKind

    accesses = storing_accesses(instruction)
    if any(access not in (OpAccess.WRITE, OpAccess.COND_WRITE) for access in accesses) or instruction.has_lock_prefix:
        raise NotAStore(f"{describe(instruction)} does more than store")
    if instruction.mnemonic not in _mnemonics().plain or instruction.op0_kind != OpKind.MEMORY:
        raise NotAStore(f"{describe(instruction)} does more than store")
    if instruction.has_op_mask:
        raise NotAStore(f"{describe(instruction)} stores under a mask")


def _size(instruction: Instruction) -> int:
    from iced_x86 import MemorySizeExt

    return MemorySizeExt.size(instruction.memory_size)


def _memory_operand(instruction: Instruction, bits: int) -> MemoryOperand:
    from iced_x86 import Register, RegisterExt

    segment = {Register.FS: "fs", Register.GS: "gs"}.get(instruction.memory_segment)
    base, index = instruction.memory_base, instruction.memory_index
    if instruction.is_ip_rel_memory_operand:
        size = RegisterExt.size(base)
        return MemoryOperand(None, None, 1, instruction.ip_rel_memory_address, size, segment, ip_relative=True)
    sizes = [RegisterExt.size(register) for register in (base, index) if register != Register.NONE]
    return MemoryOperand(
        base=full_name(base),
        index=full_name(index),
        scale=instruction.memory_index_scale,
        displacement=instruction.memory_displacement & _MASK64,
        address_size=sizes[0] if sizes else (instruction.memory_displ_size or bits // 8),
        segment=segment,
        ip_relative=False,
    )


def _source(instruction: Instruction, size: int) -> Source:
    from iced_x86 import OpKind, Register, RegisterExt

    mask = (1 << 8 * size) - 1
    register = instruction.op1_register
    match instruction.op1_kind:
        case OpKind.REGISTER if RegisterExt.is_gpr(register):
            high = register in (Register.AH, Register.BH, Register.CH, Register.DH)
            name = full_name(register)
            assert name is not None
            return RegisterSource(name, 8 if high else 0)
        case OpKind.REGISTER if RegisterExt.is_vector_register(register):
            return VectorSource(RegisterExt.number(register), _vector_offset(instruction, size))
        case OpKind.REGISTER:
            raise NotAStore(f"{describe(instruction)} stores neither a general nor a vector register")
        case _:
            return ImmediateSource(instruction.immediate(1) & mask)


def _vector_offset(instruction: Instruction, size: int) -> int:
    mnemonics = _mnemonics()
    if instruction.mnemonic in mnemonics.high_half:
        return 8
    if instruction.mnemonic in mnemonics.element:
        return int(instruction.immediate(2)) % (16 // size) * size
    return 0


def _swaps_bytes(instruction: Instruction) -> bool:
    from iced_x86 import Mnemonic

    return bool(instruction.mnemonic == Mnemonic.MOVBE)


@cache
def _register_names() -> dict[int, str]:
    from iced_x86 import Register

    general = ("AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI", *map(str, range(8, 16)))
    return {getattr(Register, f"R{name}"): f"r{name.lower()}" for name in general}


def full_name(register: RegisterNumber) -> str | None:
    """The name of the 64-bit register that contains ``register``; None for no register."""
    from iced_x86 import RegisterExt

    return _register_names().get(RegisterExt.full_register(register))


def _address_accessor(memory: MemoryOperand, bits: int) -> Callable[[Any], int]:
    """A function that computes the written address from the registers. It is built once, and called at each trap."""
    mask = (1 << 8 * memory.address_size) - 1
    limit = (1 << bits) - 1
    displacement, scale = memory.displacement, memory.scale
    base = attrgetter(memory.base) if memory.base else _zero
    index = attrgetter(memory.index) if memory.index else _zero
    segment = attrgetter(f"{memory.segment}_base") if memory.segment else _zero

    def effective_address(regs: Any) -> int:
        offset = base(regs) + index(regs) * scale + displacement & mask
        return int(segment(regs) + offset & limit)

    return effective_address


def _zero(_regs: Any) -> int:
    return 0


def _value_accessor(source: Source, size: int, byte_swapped: bool) -> Callable[[Any], int]:
    """A function that computes the stored value from the registers. It is built once, and called at each trap."""
    mask = (1 << 8 * size) - 1
    match source:
        case ImmediateSource(constant):
            return lambda _regs: constant
        case RegisterSource(name, shift):
            register = attrgetter(name)
            if byte_swapped:
                return lambda regs: int.from_bytes((register(regs) & mask).to_bytes(size, "little"), "big")
            return lambda regs: register(regs) >> shift & mask
        case VectorSource(number):

            def refuse(_regs: Any) -> int:
                raise ValueError(f"the value lies in vector register {number}: ask vector_value")

            return refuse
