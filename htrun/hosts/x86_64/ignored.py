"""Ignores a store, as hardware ignores stores to read-only memory: the memory does not change, and the program
continues.

Emulators of whole machines crash on a fault that their guest has caused. A guest can make an emulator store in many
ways: by translated code, by atomic instructions of the emulator's helpers, or, through a device, by block moves of the
C library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from htrun.hosts import host
from htrun.hosts.host import NotAStore
from htrun.hosts.x86_64.registers import Registers
from htrun.hosts.x86_64.store import MAX_INSTRUCTION, describe, full_name, storing_accesses

if TYPE_CHECKING:
    from iced_x86 import Instruction
    from iced_x86._iced_x86_py import Register as RegisterNumber

_ZERO_FLAG, _DIRECTION_FLAG = 1 << 6, 1 << 10
_WHOLE_REGISTER = 4
"""A write of at least this many bytes to a general register replaces the whole register."""
_MASK64 = (1 << 64) - 1


def ignore_store(
    code: bytes, registers: host.Registers, fault: int, end: int, read: Callable[[int, int], bytes]
) -> str:
    """Change ``registers`` as the 64-bit instruction ``code`` would, except the arithmetic flags, but write no memory.
    If a repeated block move continues at ``end``, only its part before ``end`` is executed.

    ``fault``: the address that must not be written. ``end``: the first later address that may be written. ``read``:
    reads the thread's memory. Returns the text of the instruction. Raises `NotAStore` if the instruction does not
    store, or does more than store.
    """
    from iced_x86 import Decoder

    assert isinstance(registers, Registers)
    instruction = Decoder(64, code[:MAX_INSTRUCTION], ip=registers.rip).decode()
    storing_accesses(instruction)
    text = describe(instruction)
    length = int(instruction.len)
    if instruction.is_string_instruction:
        if _move_block(instruction, registers, end - fault):
            registers.rip += length
        return text
    _exchange(instruction, registers, fault, read)
    registers.rip += length
    return text


def _move_block(instruction: Instruction, registers: Registers, room: int) -> bool:
    """Execute ``stos`` or ``movs`` for at most ``room`` bytes, without the stores. Returns whether the whole
    instruction is done."""
    from iced_x86 import MemorySizeExt, Mnemonic

    moves = {Mnemonic.MOVSB, Mnemonic.MOVSW, Mnemonic.MOVSD, Mnemonic.MOVSQ}
    if instruction.mnemonic not in moves | {Mnemonic.STOSB, Mnemonic.STOSW, Mnemonic.STOSD, Mnemonic.STOSQ}:
        raise NotAStore(f"{describe(instruction)} does more than store")
    size = MemorySizeExt.size(instruction.memory_size)
    repeated = instruction.has_rep_prefix or instruction.has_repne_prefix
    backwards = bool(registers.eflags & _DIRECTION_FLAG)
    count = min(registers.rcx, 1 if backwards else max(room // size, 1)) if repeated else 1
    moved = -size * count if backwards else size * count
    registers.rdi = registers.rdi + moved & _MASK64
    if instruction.mnemonic in moves:
        registers.rsi = registers.rsi + moved & _MASK64
    if repeated:
        registers.rcx -= count
    return not repeated or not registers.rcx


def _exchange(instruction: Instruction, registers: Registers, address: int, read: Callable[[int, int], bytes]) -> None:
    """Load the value that the instruction reads from memory into the instruction's destination register."""
    from iced_x86 import InstructionInfoFactory, MemorySizeExt, Mnemonic, OpAccess

    size = MemorySizeExt.size(instruction.memory_size)
    match instruction.mnemonic:
        case Mnemonic.XCHG | Mnemonic.XADD:
            register = instruction.op1_register if instruction.op0_register == 0 else instruction.op0_register
            _set(registers, register, size, int.from_bytes(read(address, size), "little"))
        case Mnemonic.CMPXCHG:
            _compare(registers, ("rax",), size, int.from_bytes(read(address, size), "little"))
        case Mnemonic.CMPXCHG8B | Mnemonic.CMPXCHG16B:
            _compare(registers, ("rax", "rdx"), size // 2, int.from_bytes(read(address, size), "little"))
        case _:
            writes = (OpAccess.WRITE, OpAccess.COND_WRITE, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE)
            used = InstructionInfoFactory().info(instruction).used_registers()
            if any(each.access in writes for each in used) or instruction.fpu_stack_increment_info().writes_top:
                raise NotAStore(f"{describe(instruction)} does more than store")


def _compare(registers: Registers, names: tuple[str, ...], size: int, found: int) -> None:
    """Compare ``found`` with the low ``size`` bytes of each of the registers ``names``. The first register contains the
    lowest bytes. If the bytes differ, load ``found`` into the registers."""
    mask = (1 << 8 * size) - 1
    wanted = sum((getattr(registers, name) & mask) << 8 * size * place for place, name in enumerate(names))
    if wanted == found:
        registers.eflags |= _ZERO_FLAG
        return
    registers.eflags &= ~_ZERO_FLAG
    for place, name in enumerate(names):
        _set_part(registers, name, size, found >> 8 * size * place & mask)


def _set(registers: Registers, register: RegisterNumber, size: int, value: int) -> None:
    from iced_x86 import Register

    name = full_name(register)
    assert name is not None
    high = register in (Register.AH, Register.BH, Register.CH, Register.DH)
    if high:
        setattr(registers, name, getattr(registers, name) & ~0xFF00 | value << 8)
    else:
        _set_part(registers, name, size, value)


def _set_part(registers: Registers, name: str, size: int, value: int) -> None:
    kept = 0 if size >= _WHOLE_REGISTER else getattr(registers, name) & ~((1 << 8 * size) - 1)
    setattr(registers, name, kept | value)
