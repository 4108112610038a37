"""Random store instructions: those that a compiler, an emulator or an assembler programmer would write, and unusual
ones. A store is returned with the values that the registers must have before it, so that it writes the index to the
control word.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from iced_x86 import Code, Encoder, Instruction, MemoryOperand, Register

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Code as CodeNumber
    from iced_x86._iced_x86_py import Register as RegisterNumber

MASK = (1 << 64) - 1
RSP = 4
GENERAL = (
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
)  # fmt: skip
"""In the order of their numbers."""


class Source(IntEnum):
    """The contents of a register. The numbers are those of the interpreter."""

    SENTINEL = 0
    CONTROL = 1
    INDEX = 2
    SWAPPED32 = 3
    SWAPPED64 = 4
    GS_CONTROL = 5
    FS_CONTROL = 6


@dataclass(frozen=True)
class Place:
    """The position of a store, and the values that its addressing can use: its ``address``, and that of the control
    word at the start of the program; ``gs_base``: of all threads."""

    address: int
    control: int
    gs_base: int


@dataclass(frozen=True)
class StoreCode:
    """``code``: one instruction. ``registers``: number to source and addend. ``fixed_index``: the value of an
    immediate. ``absolute``: the address of the control word is in the instruction. ``vector``: number, byte offset,
    size."""

    code: bytes
    registers: dict[int, tuple[Source, int]]
    fixed_index: int | None = None
    absolute: bool = False
    vector: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class _Address:
    operand: MemoryOperand
    registers: dict[int, tuple[Source, int]]
    absolute: bool = False


def random_store(rng: random.Random, place: Place, fixed_indexes: int) -> StoreCode:
    """A store that is possible at ``place``. ``fixed_indexes``: immediates are below this."""
    while True:
        if rng.random() < 0.4:
            return _shortest_store(rng)
        address = _random_address(rng, place)
        store = _random_value(rng, address, place, fixed_indexes)
        if store is not None:
            return store


def _shortest_store(rng: random.Random) -> StoreCode:
    """The stores that are most difficult to patch: ``mov`` of a register to the address in a register, 2 to 4 bytes."""
    base = rng.choice([0, 1, 2, 3, 6, 7, 8 + rng.randrange(8)])
    source = rng.choice([number for number in range(16) if number not in (base, RSP)][: rng.choice((6, 14))])
    wide = rng.random() < 0.4
    code = Code.MOV_RM64_R64 if wide else Code.MOV_RM32_R32
    register = _register(source, "" if wide else "32")
    instruction = Instruction.create_mem_reg(code, MemoryOperand(_register(base)), register)
    encoder = Encoder(64)
    encoder.encode(instruction, 0)
    index = (Source.INDEX, 0 if wide else rng.getrandbits(32))
    return StoreCode(encoder.take_buffer(), {base: (Source.CONTROL, 0), source: index})


def _register(number: int, prefix: str = "") -> RegisterNumber:
    name = GENERAL[number]
    if prefix == "32":
        name = f"{name}D" if name[1:].isdigit() else "E" + name[1:]
    register: RegisterNumber = getattr(Register, name)
    return register


def _displacement(rng: random.Random) -> int:
    return rng.choice((0, 0, 0, rng.randint(-128, 127), 128, rng.randint(-(1 << 31), (1 << 31) - 1)))


def _random_address(rng: random.Random, place: Place) -> _Address:
    base, index = rng.sample([number for number in range(16) if number != RSP], 2)
    near = abs(place.control - place.address) < 1 << 31
    low = place.control < 1 << 31
    forms = ["base", "base", "base", "base+index", "scaled", "gs", "gs32", "fs"]
    forms += ["rip", "rip"] if near else []
    forms += ["absolute"] if low else []
    displacement = _displacement(rng)
    scale = rng.choice((1, 2, 4, 8))
    offset = rng.getrandbits(64)
    small = 1 if -128 <= displacement < 128 and displacement else 0 if displacement == 0 else 8
    match rng.choice(forms):
        case "base":
            operand = MemoryOperand(_register(base), displ=displacement, displ_size=small)
            return _Address(operand, {base: (Source.CONTROL, -displacement & MASK)})
        case "base+index":
            operand = MemoryOperand(_register(base), _register(index), scale, displacement, small)
            addend = -displacement - offset * scale & MASK
            return _Address(operand, {base: (Source.CONTROL, addend), index: (Source.SENTINEL, offset)})
        case "scaled":
            operand = MemoryOperand(Register.NONE, _register(index), 1, displacement, 8)
            return _Address(operand, {index: (Source.CONTROL, -displacement & MASK)})
        case "gs":
            operand = MemoryOperand(_register(base), displ=displacement, displ_size=small, seg=Register.GS)
            return _Address(operand, {base: (Source.GS_CONTROL, -displacement & MASK)})
        case "gs32":
            # The address is cut to 32 bits before the base is added, as with QEMU's guest base.
            garbage = rng.getrandbits(31) << 32
            operand = MemoryOperand(_register(base, "32"), seg=Register.GS)
            return _Address(operand, {base: (Source.GS_CONTROL, garbage)}, absolute=True)
        case "fs":
            operand = MemoryOperand(_register(base), displ=displacement, displ_size=small, seg=Register.FS)
            return _Address(operand, {base: (Source.FS_CONTROL, -displacement & MASK)})
        case "rip":
            return _Address(MemoryOperand(Register.RIP, displ=place.control, displ_size=8), {}, absolute=True)
        case _:
            return _Address(MemoryOperand(displ=place.control, displ_size=8), {}, absolute=True)


def _random_value(rng: random.Random, address: _Address, place: Place, fixed_indexes: int) -> StoreCode | None:
    free = [number for number in range(16) if number != RSP and number not in address.registers]
    number = rng.choice(free)
    wide = rng.random() < 0.4
    vector = rng.randrange(16)
    xmm: RegisterNumber = getattr(Register, f"XMM{vector}")
    register = _register(number, "" if wide else "32")
    garbage = rng.getrandbits(32)
    index = (Source.INDEX, 0 if wide else garbage)
    match rng.choice(("mov", "mov", "mov", "immediate", "movbe", "movnti", "vector", "element", "accumulator")):
        case "mov":
            code = Code.MOV_RM64_R64 if wide else Code.MOV_RM32_R32
            return _store(rng, place, address, code, register, {number: index})
        case "movnti":
            code = Code.MOVNTI_M64_R64 if wide else Code.MOVNTI_M32_R32
            return _store(rng, place, address, code, register, {number: index})
        case "movbe":
            swapped = (Source.SWAPPED64, 0) if wide else (Source.SWAPPED32, garbage)
            code = Code.MOVBE_M64_R64 if wide else Code.MOVBE_M32_R32
            return _store(rng, place, address, code, register, {number: swapped})
        case "immediate":
            value = rng.randrange(fixed_indexes)
            code = Code.MOV_RM64_IMM32 if wide else Code.MOV_RM32_IMM32
            instruction = Instruction.create_mem_i32(code, address.operand, value)
            return _encoded(rng, place, address, instruction, {}, fixed_index=value)
        case "vector":
            name, lane, size = rng.choice(
                (
                    ("MOVD_RM32_XMM", 0, 4),
                    ("MOVQ_RM64_XMM", 0, 8),
                    ("MOVQ_XMMM64_XMM", 0, 8),
                    ("MOVSS_XMMM32_XMM", 0, 4),
                    ("MOVSD_XMMM64_XMM", 0, 8),
                    ("MOVLPS_M64_XMM", 0, 8),
                    ("MOVHPS_M64_XMM", 8, 8),
                )
            )
            return _store(rng, place, address, getattr(Code, name), xmm, {}, vector=(vector, lane, size))
        case "element":
            name, size = rng.choice(
                (("PEXTRD_RM32_XMM_IMM8", 4), ("PEXTRQ_RM64_XMM_IMM8", 8), ("EXTRACTPS_RM32_XMM_IMM8", 4))
            )
            element = rng.randrange(16 // size)
            instruction = Instruction.create_mem_reg_i32(getattr(Code, name), address.operand, xmm, element)
            return _encoded(rng, place, address, instruction, {}, vector=(vector, element * size, size))
        case _:
            # mov %eax,moffs64: the only instruction with a 64-bit address in it.
            operand = MemoryOperand(displ=place.control, displ_size=8)
            code = Code.MOV_MOFFS64_RAX if wide else Code.MOV_MOFFS32_EAX
            return _store(
                rng, place, _Address(operand, {}, absolute=True), code,
                Register.RAX if wide else Register.EAX, {0: index},
            )  # fmt: skip


def _store(
    rng: random.Random,
    place: Place,
    address: _Address,
    code: CodeNumber,
    register: RegisterNumber,
    registers: dict[int, tuple[Source, int]],
    *,
    vector: tuple[int, int, int] | None = None,
) -> StoreCode | None:
    instruction = Instruction.create_mem_reg(code, address.operand, register)
    return _encoded(rng, place, address, instruction, registers, vector=vector)


def _encoded(
    rng: random.Random,
    place: Place,
    address: _Address,
    instruction: Instruction,
    registers: dict[int, tuple[Source, int]],
    *,
    fixed_index: int | None = None,
    vector: tuple[int, int, int] | None = None,
) -> StoreCode | None:
    encoder = Encoder(64)
    try:
        encoder.encode(instruction, place.address)
    except ValueError:
        return None
    code = encoder.take_buffer()
    if rng.random() < 0.1 and not instruction.is_ip_rel_memory_operand and instruction.segment_prefix == Register.NONE:
        # A segment prefix that means nothing in 64-bit code.
        code = rng.choice((b"\x2e", b"\x3e", b"\x26", b"\x36")) + code
    if len(code) > 15:
        return None
    return StoreCode(code, address.registers | registers, fixed_index, address.absolute, vector)
