"""System calls of a machine, as the rest of htrun knows them: numbers by name, arguments by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:

    class Registers(Protocol):
        """The members of `htrun.hosts.host.Registers` that are used here, besides those that `Abi.arguments` names."""

        result: int


class Abi(NamedTuple):
    """One system call interface.

    ``bits``: 64 or 32; ``audit_arch``: what a seccomp filter sees; ``instruction``: the bytes of the call instruction;
    ``arguments``: the registers of arguments 1 to 6; ``argument_words``: where struct user has them; ``numbers``: call
    numbers by name; ``nowhere``: the page after the last that a program can map; ``frame_masks``: where a signal frame
    keeps the mask to be restored, from the stack pointer that these calls are made with.
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
        """Bytes of a pointer."""
        return self.bits // 8

    def argument(self, registers: Registers, index: int) -> int:
        """Argument ``index`` (0 to 5) of the call a thread is stopped at."""
        value: int = getattr(registers, self.arguments[index])
        return value & ((1 << self.bits) - 1)

    def set_argument(self, registers: Registers, index: int, value: int) -> None:
        """Replace argument ``index`` (0 to 5) of the call a thread is stopped at."""
        setattr(registers, self.arguments[index], value & ((1 << self.bits) - 1))

    def result(self, registers: Registers) -> int:
        """A finished call's result as a signed number: -4095 to -1 is an errno."""
        value: int = registers.result & ((1 << self.bits) - 1)
        return value - (1 << self.bits) if value >= (1 << self.bits) - 4095 else value


class UserWords(NamedTuple):
    """Where struct user (<sys/user.h>) has a thread's registers, by their roles.

    ``result``, ``call_number``: of a system call; ``mode``: what `Host.bits_in` looks at; ``flags``: those of
    arithmetic, among others.
    """

    result: int
    call_number: int
    pc: int
    mode: int
    flags: int
    sp: int
    thread_pointer: int


class Limit(NamedTuple):
    """How long a call waits at most: ``duration`` in ns; ``result``: what the call returns when the time is over."""

    duration: int
    result: int
