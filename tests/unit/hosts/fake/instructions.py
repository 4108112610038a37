"""A made-up machine's instructions: words of four bytes, sixteen registers of 64 bits, no flags.

``r14`` is the stack pointer. A program uses at most 64 bytes below it. Bits 0 to 7 of a word are the operation, 8 to 11
and 12 to 15 two registers, 16 to 31 a number with its sign; a jump has a number of 24 bits instead. Distances are in
words, relative to the next instruction.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

WORD = 4
STACK_POINTER = 14
FURTHEST_JUMP = (1 << 23) * WORD


class Operation(IntEnum):
    """The operation of a word, with the registers ``a`` and ``b`` and the number ``n``."""

    HALT = 0
    """Stops."""
    STORE = 1
    """a to the 8 bytes at b + n."""
    STORE_HALF = 2
    """The low 4 bytes of a to b + n."""
    LOAD = 3
    """a from the 8 bytes at b + n."""
    SHIFT_IN = 4
    """a from the low 48 bits of a, followed by n."""
    MOVE = 5
    """a from b."""
    ADD = 6
    """a from a + b."""
    ADD_NUMBER = 7
    """a from a + n."""
    SHIFT = 8
    """a from a, n bits to the left."""
    JUMP_IF_NOT_BELOW = 9
    """If a >= b."""
    JUMP_IF_DIFFERENT = 10
    """If a != b."""
    COUNTER = 11
    """a from the counter."""
    THREAD_POINTER = 12
    """a from the thread pointer."""
    JUMP = 13
    CALL = 14
    """A system call."""


class Instruction(NamedTuple):
    """One word, decoded."""

    operation: Operation
    a: int = 0
    b: int = 0
    number: int = 0

    @classmethod
    def decode(cls, code: bytes) -> Instruction:
        """The instruction at the start of ``code``. Raises ValueError if there is none."""
        word = int.from_bytes(code[:WORD], "little")
        operation = Operation(word & 0xFF)
        if operation is Operation.JUMP:
            return cls(operation, number=_signed(word >> 8, 24))
        return cls(operation, word >> 8 & 15, word >> 12 & 15, _signed(word >> 16, 16))

    def encode(self) -> bytes:
        """The word."""
        if self.operation is Operation.JUMP:
            word = self.operation | (self.number & 0xFFFFFF) << 8
        else:
            word = self.operation | self.a << 8 | self.b << 12 | (self.number & 0xFFFF) << 16
        return word.to_bytes(WORD, "little")

    def __str__(self) -> str:
        return f"{self.operation.name.lower()} r{self.a}, {self.number}(r{self.b})"


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


def jump(origin: int, target: int) -> bytes:
    """The jump at ``origin`` to ``target``. Raises ValueError if the distance is too large."""
    distance = target - origin - WORD
    if not -FURTHEST_JUMP <= distance < FURTHEST_JUMP:
        raise ValueError(f"{target:#x} is too far from {origin:#x}")
    return Instruction(Operation.JUMP, number=distance // WORD).encode()


def constant(register: int, value: int) -> list[Instruction]:
    """``value`` into ``register``."""
    return [Instruction(Operation.SHIFT_IN, register, 0, value >> shift & 0xFFFF) for shift in (48, 32, 16, 0)]
