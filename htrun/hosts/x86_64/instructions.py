"""The instructions that trampolines are made of, as bytes or as pieces of a `templates.Template`.

Registers are iced-x86's full registers (``Register.RAX``). The name of a function says how many bits its instruction
uses. The length of an instruction never depends on an address, so a template knows the offset of each piece.

Encoding an instruction takes microseconds. A trampoline has a hundred instructions, and nearly all of them are also in
other trampolines. So the functions cache their results, except the functions whose arguments come from the guest's
code.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from iced_x86 import Code, Encoder, Instruction, MemoryOperand, Register, RegisterExt

from htrun.hosts.x86_64.templates import Absolute, Piece, Relative, Word

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
    """The bytes of an instruction that contains no code address."""
    encoder = Encoder(64)
    encoder.encode(instruction, 0)
    return bytes(encoder.take_buffer())


def low(register: RegisterNumber) -> RegisterNumber:
    """The low 32 bits of ``register``. A write to them clears the upper half."""
    return RegisterExt.full_register32(register)


def memory(base: RegisterNumber, offset: int = 0) -> MemoryOperand:
    """The memory operand ``offset(base)``."""
    return MemoryOperand(base, displ=offset, displ_size=1 if offset else 0)


def load_from(to: RegisterNumber, operand: MemoryOperand) -> bytes:
    """Load 64 bits from any memory operand."""
    return encode(Instruction.create_reg_mem(Code.MOV_R64_RM64, to, operand))


@cache
def load(to: RegisterNumber, base: RegisterNumber, offset: int = 0) -> bytes:
    """Load 64 bits from memory."""
    return load_from(to, memory(base, offset))


@cache
def load32(to: RegisterNumber, base: RegisterNumber, offset: int = 0) -> bytes:
    """Load 32 bits from memory; clears the upper half of ``to``."""
    return encode(Instruction.create_reg_mem(Code.MOV_R32_RM32, low(to), memory(base, offset)))


@cache
def store(base: RegisterNumber, offset: int, register: RegisterNumber) -> bytes:
    """Store 64 bits to memory."""
    return encode(Instruction.create_mem_reg(Code.MOV_RM64_R64, memory(base, offset), register))


@cache
def store32(base: RegisterNumber, offset: int, register: RegisterNumber) -> bytes:
    """Store the low 32 bits of ``register`` to memory."""
    return encode(Instruction.create_mem_reg(Code.MOV_RM32_R32, memory(base, offset), low(register)))


@cache
def store_word(base: RegisterNumber, offset: int, name: str) -> tuple[Piece, ...]:
    """Store the 32 bits of the field ``name`` to memory."""
    return encode(Instruction.create_mem_u32(Code.MOV_RM32_IMM32, memory(base, offset), 0))[:-4], Word(name)


def lea(to: RegisterNumber, operand: MemoryOperand) -> bytes:
    """Load an address without changing the flags."""
    return encode(Instruction.create_reg_mem(Code.LEA_R64_M, to, operand))


@cache
def move(to: RegisterNumber, register: RegisterNumber) -> bytes:
    """Copy 64 bits from register to register."""
    return encode(Instruction.create_reg_reg(Code.MOV_R64_RM64, to, register))


@cache
def move32(to: RegisterNumber, register: RegisterNumber) -> bytes:
    """Copy 32 bits from register to register; clears the upper half of ``to``."""
    return encode(Instruction.create_reg_reg(Code.MOV_R32_RM32, low(to), low(register)))


@cache
def constant(to: RegisterNumber, name: str) -> tuple[Piece, ...]:
    """Load the 64 bits of the field ``name`` into a register."""
    return encode(Instruction.create_reg_u64(Code.MOV_R64_IMM64, to, 0))[:-8], Absolute(name)


def immediate(to: RegisterNumber, value: int) -> bytes:
    """Load the constant ``value``, an unsigned number, into a register."""
    if value < 1 << 32:
        return encode(Instruction.create_reg_u32(Code.MOV_R32_IMM32, low(to), value))
    return encode(Instruction.create_reg_u64(Code.MOV_R64_IMM64, to, value))


@cache
def byte_swap(register: RegisterNumber, size: int) -> bytes:
    """Reverse the low 4 bytes or all 8 bytes of ``register``; the flags do not change."""
    if size == 4:
        return encode(Instruction.create_reg(Code.BSWAP_R32, low(register)))
    return encode(Instruction.create_reg(Code.BSWAP_R64, register))


@cache
def add(to: RegisterNumber, register: RegisterNumber) -> bytes:
    """Add a register, 64 bits."""
    return encode(Instruction.create_reg_reg(Code.ADD_RM64_R64, to, register))


@cache
def add_memory(to: RegisterNumber, base: RegisterNumber, offset: int) -> bytes:
    """Add a word of memory, 64 bits."""
    return encode(Instruction.create_reg_mem(Code.ADD_R64_RM64, to, memory(base, offset)))


@cache
def add_immediate(to: RegisterNumber, value: int) -> bytes:
    """Add a small constant, 64 bits."""
    code = Code.ADD_RM64_IMM8 if -128 <= value < 128 else Code.ADD_RM64_IMM32
    return encode(Instruction.create_reg_i32(code, to, value))


@cache
def increment_memory(base: RegisterNumber, offset: int) -> bytes:
    """Add one to 64 bits of memory, not atomically."""
    return encode(Instruction.create_mem_i32(Code.ADD_RM64_IMM8, memory(base, offset), 1))


@cache
def and_memory(to: RegisterNumber, base: RegisterNumber, offset: int) -> bytes:
    """And with a word of memory, 64 bits."""
    return encode(Instruction.create_reg_mem(Code.AND_R64_RM64, to, memory(base, offset)))


@cache
def multiply_memory(to: RegisterNumber, base: RegisterNumber, offset: int) -> bytes:
    """Multiply by a word of memory, 64 bits."""
    return encode(Instruction.create_reg_mem(Code.IMUL_R64_RM64, to, memory(base, offset)))


@cache
def multiply32(to: RegisterNumber, register: RegisterNumber, factor: int) -> bytes:
    """Multiply by an unsigned constant, 32 bits."""
    signed = factor - (1 << 32) if factor >> 31 else factor
    return encode(Instruction.create_reg_reg_i32(Code.IMUL_R32_RM32_IMM32, low(to), low(register), signed))


@cache
def shift_right32(register: RegisterNumber, count: int) -> bytes:
    """Shift right logically, 32 bits."""
    return encode(Instruction.create_reg_u32(Code.SHR_RM32_IMM8, low(register), count))


@cache
def shift_left(register: RegisterNumber, count: int) -> bytes:
    """Shift left, 64 bits."""
    return encode(Instruction.create_reg_u32(Code.SHL_RM64_IMM8, register, count))


@cache
def and32(register: RegisterNumber, mask: int) -> bytes:
    """And with a constant, 32 bits."""
    return encode(Instruction.create_reg_i32(Code.AND_RM32_IMM32, low(register), mask))


@cache
def flip(register: RegisterNumber, mask: int) -> bytes:
    """Exclusive or with a small constant, 64 bits."""
    return encode(Instruction.create_reg_i32(Code.XOR_RM64_IMM8, register, mask))


@cache
def compare(left: RegisterNumber, right: RegisterNumber) -> bytes:
    """Set the flags of ``left - right``, 64 bits."""
    return encode(Instruction.create_reg_reg(Code.CMP_R64_RM64, left, right))


def compare_with(left: RegisterNumber, operand: MemoryOperand) -> bytes:
    """Set the flags of ``left - operand``, 64 bits, for any memory operand."""
    return encode(Instruction.create_reg_mem(Code.CMP_R64_RM64, left, operand))


@cache
def compare_memory(left: RegisterNumber, base: RegisterNumber, offset: int = 0) -> bytes:
    """Set the flags of ``left - memory``, 64 bits."""
    return compare_with(left, memory(base, offset))


@cache
def compare_immediate(left: RegisterNumber, value: int) -> bytes:
    """Set the flags of ``left - value``, 64 bits."""
    return encode(Instruction.create_reg_i32(Code.CMP_RM64_IMM32, left, value))


@cache
def compare_memory_immediate(base: RegisterNumber, offset: int, value: int) -> bytes:
    """Set the flags of ``memory - value``, 64 bits; ``value`` is -128 to 127."""
    return encode(Instruction.create_mem_i32(Code.CMP_RM64_IMM8, memory(base, offset), value))


@cache
def thread_pointer(segment: str, to: RegisterNumber) -> bytes:
    """Load the base of "fs" or "gs". This needs FSGSBASE in the processor, and a kernel that allows its use (since
    Linux 5.9; AT_HWCAP2 bit 1)."""
    code = Code.RDFSBASE_R64 if segment == "fs" else Code.RDGSBASE_R64
    return encode(Instruction.create_reg(code, to))


@cache
def load_self_pointer(to: RegisterNumber) -> bytes:
    """Load the word at ``fs:0``."""
    return load_from(to, MemoryOperand(displ_size=8, seg=Register.FS))


def jump(target: str) -> tuple[Piece, ...]:
    """A jump of 5 bytes."""
    return b"\xe9", Relative(target)


def jump_if(condition: bytes, target: str) -> tuple[Piece, ...]:
    """A conditional jump of 6 bytes; ``condition`` is `JE`, `JNE` or `JAE`."""
    return condition, Relative(target)


def jump_far(target: str) -> tuple[Piece, ...]:
    """A jump of 14 bytes to any address: an indirect jump that reads the address from the bytes after the
    instruction."""
    return b"\xff\x25\x00\x00\x00\x00", Absolute(target)


@cache
def jump_to(register: RegisterNumber) -> bytes:
    """A jump to the address in a register."""
    return encode(Instruction.create_reg(Code.JMP_RM64, register))


@cache
def address_of(to: RegisterNumber, target: str) -> tuple[Piece, ...]:
    """Load an address: ``lea target(%rip),to``."""
    code = Instruction.create_reg_mem(Code.LEA_R64_M, to, MemoryOperand(Register.RIP, displ=0x7FFFFFF, displ_size=4))
    return encode(code)[:-4], Relative(target)


@cache
def set_overflow(register: RegisterNumber) -> bytes:
    """Store the overflow flag to the low byte of RAX, RCX, RDX or RBX (``seto``)."""
    return encode(Instruction.create_reg(Code.SETO_RM8, _LOW_BYTES[register]))


@cache
def registers_but(taken: frozenset[RegisterNumber], count: int) -> tuple[RegisterNumber, ...]:
    """``count`` scratch registers, except ``taken``: the registers that compilers use least around a store."""
    wanted = (Register.RCX, Register.RSI, Register.RDI, Register.R8, Register.R9, Register.R10, Register.R11)
    return tuple(register for register in wanted if register not in taken)[:count]
