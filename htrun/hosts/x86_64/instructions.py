"""The few instructions that trampolines are made of, as bytes or pieces of a `templates.Template`.

Registers are iced-x86's full registers (``Register.RAX``); the name says how much of one an instruction works on. Only
forms whose length doesn't depend on an address are here, so that a template knows where everything lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iced_x86 import Code, Encoder, Instruction, MemoryOperand, Register, RegisterExt

from htrun.hosts.x86_64.templates import Absolute, Piece, Relative

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber

LAHF = b"\x9f"
SAHF = b"\x9e"
RDTSC = b"\x0f\x31"
LFENCE = b"\x0f\xae\xe8"

JE = b"\x0f\x84"
JNE = b"\x0f\x85"
JAE = b"\x0f\x83"

_LOW_BYTES = {
    Register.RAX: Register.AL,
    Register.RCX: Register.CL,
    Register.RDX: Register.DL,
    Register.RBX: Register.BL,
}


def encode(instruction: Instruction) -> bytes:
    """The bytes of an instruction that holds no address of code."""
    encoder = Encoder(64)
    encoder.encode(instruction, 0)
    return bytes(encoder.take_buffer())


def low(register: RegisterNumber) -> RegisterNumber:
    """The low 32 bits of ``register``; writing them clears the upper half."""
    return RegisterExt.full_register32(register)


def memory(base: RegisterNumber, offset: int = 0) -> MemoryOperand:
    """``offset(base)``."""
    return MemoryOperand(base, displ=offset, displ_size=1 if offset else 0)


def load_from(to: RegisterNumber, operand: MemoryOperand) -> bytes:
    """64 bits from any place in memory."""
    return encode(Instruction.create_reg_mem(Code.MOV_R64_RM64, to, operand))


def load(to: RegisterNumber, base: RegisterNumber, offset: int = 0) -> bytes:
    """64 bits from memory."""
    return load_from(to, memory(base, offset))


def load32(to: RegisterNumber, base: RegisterNumber, offset: int = 0) -> bytes:
    """32 bits from memory; clears the upper half."""
    return encode(Instruction.create_reg_mem(Code.MOV_R32_RM32, low(to), memory(base, offset)))


def store(base: RegisterNumber, offset: int, register: RegisterNumber) -> bytes:
    """64 bits to memory."""
    return encode(Instruction.create_mem_reg(Code.MOV_RM64_R64, memory(base, offset), register))


def store32(base: RegisterNumber, offset: int, register: RegisterNumber) -> bytes:
    """The low 32 bits to memory."""
    return encode(Instruction.create_mem_reg(Code.MOV_RM32_R32, memory(base, offset), low(register)))


def store_constant32(base: RegisterNumber, offset: int, value: int) -> bytes:
    """A constant of 32 bits to memory."""
    return encode(Instruction.create_mem_u32(Code.MOV_RM32_IMM32, memory(base, offset), value))


def lea(to: RegisterNumber, operand: MemoryOperand) -> bytes:
    """An address, without touching the flags."""
    return encode(Instruction.create_reg_mem(Code.LEA_R64_M, to, operand))


def move(to: RegisterNumber, register: RegisterNumber) -> bytes:
    """64 bits from register to register."""
    return encode(Instruction.create_reg_reg(Code.MOV_R64_RM64, to, register))


def move32(to: RegisterNumber, register: RegisterNumber) -> bytes:
    """32 bits from register to register; clears the upper half."""
    return encode(Instruction.create_reg_reg(Code.MOV_R32_RM32, low(to), low(register)))


def constant(to: RegisterNumber, name: str) -> tuple[Piece, ...]:
    """A field's 64 bits into a register."""
    return encode(Instruction.create_reg_u64(Code.MOV_R64_IMM64, to, 0))[:-8], Absolute(name)


def immediate(to: RegisterNumber, value: int) -> bytes:
    """An unsigned number, known now, into a register."""
    if value < 1 << 32:
        return encode(Instruction.create_reg_u32(Code.MOV_R32_IMM32, low(to), value))
    return encode(Instruction.create_reg_u64(Code.MOV_R64_IMM64, to, value))


def byte_swap(register: RegisterNumber, size: int) -> bytes:
    """Reverse the low 4 or all 8 bytes; the flags stay."""
    if size == 4:
        return encode(Instruction.create_reg(Code.BSWAP_R32, low(register)))
    return encode(Instruction.create_reg(Code.BSWAP_R64, register))


def add(to: RegisterNumber, register: RegisterNumber) -> bytes:
    """64-bit sum."""
    return encode(Instruction.create_reg_reg(Code.ADD_RM64_R64, to, register))


def add_memory(to: RegisterNumber, base: RegisterNumber, offset: int) -> bytes:
    """64-bit sum with memory."""
    return encode(Instruction.create_reg_mem(Code.ADD_R64_RM64, to, memory(base, offset)))


def add_immediate(to: RegisterNumber, value: int) -> bytes:
    """64-bit sum with a small constant."""
    code = Code.ADD_RM64_IMM8 if -128 <= value < 128 else Code.ADD_RM64_IMM32
    return encode(Instruction.create_reg_i32(code, to, value))


def increment_memory(base: RegisterNumber, offset: int) -> bytes:
    """Add one to 64 bits of memory, not atomically."""
    return encode(Instruction.create_mem_i32(Code.ADD_RM64_IMM8, memory(base, offset), 1))


def and_memory(to: RegisterNumber, base: RegisterNumber, offset: int) -> bytes:
    """64-bit conjunction with memory."""
    return encode(Instruction.create_reg_mem(Code.AND_R64_RM64, to, memory(base, offset)))


def multiply_memory(to: RegisterNumber, base: RegisterNumber, offset: int) -> bytes:
    """64-bit product with memory."""
    return encode(Instruction.create_reg_mem(Code.IMUL_R64_RM64, to, memory(base, offset)))


def multiply32(to: RegisterNumber, register: RegisterNumber, factor: int) -> bytes:
    """32-bit product with an unsigned constant."""
    signed = factor - (1 << 32) if factor >> 31 else factor
    return encode(Instruction.create_reg_reg_i32(Code.IMUL_R32_RM32_IMM32, low(to), low(register), signed))


def shift_right32(register: RegisterNumber, count: int) -> bytes:
    """32-bit logical shift."""
    return encode(Instruction.create_reg_u32(Code.SHR_RM32_IMM8, low(register), count))


def shift_left(register: RegisterNumber, count: int) -> bytes:
    """64-bit shift."""
    return encode(Instruction.create_reg_u32(Code.SHL_RM64_IMM8, register, count))


def and32(register: RegisterNumber, mask: int) -> bytes:
    """32-bit conjunction with a constant."""
    return encode(Instruction.create_reg_i32(Code.AND_RM32_IMM32, low(register), mask))


def flip(register: RegisterNumber, mask: int) -> bytes:
    """64-bit exclusive or with a small constant."""
    return encode(Instruction.create_reg_i32(Code.XOR_RM64_IMM8, register, mask))


def compare(left: RegisterNumber, right: RegisterNumber) -> bytes:
    """Flags of ``left - right``, 64 bits."""
    return encode(Instruction.create_reg_reg(Code.CMP_R64_RM64, left, right))


def compare_with(left: RegisterNumber, operand: MemoryOperand) -> bytes:
    """Flags of ``left - memory`` at any place, 64 bits."""
    return encode(Instruction.create_reg_mem(Code.CMP_R64_RM64, left, operand))


def compare_memory(left: RegisterNumber, base: RegisterNumber, offset: int = 0) -> bytes:
    """Flags of ``left - memory``, 64 bits."""
    return compare_with(left, memory(base, offset))


def compare_immediate(left: RegisterNumber, value: int) -> bytes:
    """Flags of ``left - value``, 64 bits."""
    return encode(Instruction.create_reg_i32(Code.CMP_RM64_IMM32, left, value))


def compare_memory_immediate(base: RegisterNumber, offset: int, value: int) -> bytes:
    """Flags of ``memory - value``, 64 bits; ``value`` is -128 to 127."""
    return encode(Instruction.create_mem_i32(Code.CMP_RM64_IMM8, memory(base, offset), value))


def thread_pointer(segment: str, to: RegisterNumber) -> bytes:
    """The base of "fs" or "gs". Needs the processor's FSGSBASE and a kernel that allows it (5.9; AT_HWCAP2 bit 1)."""
    code = Code.RDFSBASE_R64 if segment == "fs" else Code.RDGSBASE_R64
    return encode(Instruction.create_reg(code, to))


def load_self_pointer(to: RegisterNumber) -> bytes:
    """The word at ``fs:0``."""
    return load_from(to, MemoryOperand(displ_size=8, seg=Register.FS))


def jump(target: str) -> tuple[Piece, ...]:
    """A jump of 5 bytes."""
    return b"\xe9", Relative(target)


def jump_if(condition: bytes, target: str) -> tuple[Piece, ...]:
    """A jump of 6 bytes under `JE`, `JNE` or `JAE`."""
    return condition, Relative(target)


def jump_far(target: str) -> tuple[Piece, ...]:
    """A jump to anywhere, 14 bytes: through the address that stands after it."""
    return b"\xff\x25\x00\x00\x00\x00", Absolute(target)


def jump_to(register: RegisterNumber) -> bytes:
    """A jump to the address in a register."""
    return encode(Instruction.create_reg(Code.JMP_RM64, register))


def address_of(to: RegisterNumber, target: str) -> tuple[Piece, ...]:
    """``lea target(%rip),to``."""
    code = Instruction.create_reg_mem(Code.LEA_R64_M, to, MemoryOperand(Register.RIP, displ=0x7FFFFFF, displ_size=4))
    return encode(code)[:-4], Relative(target)


def set_overflow(register: RegisterNumber) -> bytes:
    """``seto`` into the low byte of RAX, RCX, RDX or RBX."""
    return encode(Instruction.create_reg(Code.SETO_RM8, _LOW_BYTES[register]))


def registers_but(taken: frozenset[RegisterNumber], count: int) -> tuple[RegisterNumber, ...]:
    """``count`` scratch registers out of those a compiler uses least around a store, none of ``taken``."""
    wanted = (Register.RCX, Register.RSI, Register.RDI, Register.R8, Register.R9, Register.R10, Register.R11)
    return tuple(register for register in wanted if register not in taken)[:count]
