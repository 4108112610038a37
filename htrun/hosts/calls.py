"""System calls of a machine, in the form that the rest of htrun uses: numbers by name, arguments by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:

    class Registers(Protocol):
        """The members of `htrun.hosts.host.Registers` that this module uses, in addition to those in
        `Abi.arguments`."""

        result: int


class Abi(NamedTuple):
    """One system call interface.

    ``bits``: 64 or 32. ``audit_arch``: the interface's constant in seccomp filters. ``instruction``: the bytes of the
    call instruction. ``arguments``: the names of the registers that hold arguments 1 to 6. ``argument_words``: the
    offsets of these registers in struct user. ``numbers``: call numbers by name. ``nowhere``: the address of the first
    page that no program can map. ``frame_masks``: for each call that returns from a signal handler, the offset of the
    signal mask that the call restores, relative to the stack pointer at the call.
    """

    bits: int
    audit_arch: int
    instruction: bytes
    arguments: tuple[str, ...]
    argument_words: tuple[int, ...]
    numbers: dict[str, int]
    nowhere: int
    frame_masks: dict[str, int]

    @property
    def word(self) -> int:
        """The size of a pointer in bytes."""
        return self.bits // 8

    def argument(self, registers: Registers, index: int) -> int:
        """Argument ``index`` (0 to 5) of the call at which a thread is stopped."""
        value: int = getattr(registers, self.arguments[index])
        return value & ((1 << self.bits) - 1)

    def set_argument(self, registers: Registers, index: int, value: int) -> None:
        """Replace argument ``index`` (0 to 5) of the call at which a thread is stopped."""
        setattr(registers, self.arguments[index], value & ((1 << self.bits) - 1))

    def result(self, registers: Registers) -> int:
        """The result of a finished call as a signed number: -4095 to -1 is a negated errno."""
        value: int = registers.result & ((1 << self.bits) - 1)
        return value - (1 << self.bits) if value >= (1 << self.bits) - 4095 else value


class UserWords(NamedTuple):
    """The offsets of a thread's registers in struct user (<sys/user.h>), by role.

    ``result``, ``call_number``: the result and the number of a system call. ``mode``: the register from which
    `Host.bits_in` finds out whether code is 64- or 32-bit code. ``flags``: the register with the arithmetic flags.
    """

    result: int
    call_number: int
    pc: int
    mode: int
    flags: int
    sp: int
    thread_pointer: int


class Limit(NamedTuple):
    """The time limit of a call. ``duration``: the longest time that the call waits, in ns. ``result``: the call's
    result when this time is over."""

    duration: int
    result: int
