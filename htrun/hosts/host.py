"""What the rest of htrun knows of the machine it runs on: roles instead of names.

Each machine has a package beside this module. Whatever is outside of it says "the program counter", never ``rip``.
"""

from __future__ import annotations

import ctypes
from typing import Self


class Registers(ctypes.Structure):
    """A stopped thread's general registers, as ptrace(2) reads and writes them.

    ``pc``: the program counter; ``sp``: the stack pointer; ``result``: of a system call, and before it its number;
    ``call_number``: that of the call a thread is in, also after it; ``thread_pointer``: where its thread-local storage
    begins.
    """

    pc: int
    sp: int
    result: int
    call_number: int
    thread_pointer: int

    @property
    def bits(self) -> int:
        """Whether the thread runs 64- or 32-bit code."""
        raise NotImplementedError

    @property
    def single_steps(self) -> bool:
        """Whether the thread single-steps itself."""
        raise NotImplementedError

    def stop_stepping(self) -> None:
        """Let the thread single-step itself no more."""
        raise NotImplementedError

    def skip_call(self) -> None:
        """The thread is in no call: one that it is about to make is not made, and none is made again."""
        raise NotImplementedError

    def below_stack(self, size: int) -> int:
        """Where ``size`` bytes begin that the thread's code does not use now, at the end of its stack."""
        raise NotImplementedError

    def copy(self) -> Self:
        """An independent copy."""
        return type(self).from_buffer_copy(self)
