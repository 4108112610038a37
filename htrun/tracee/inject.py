"""System calls made by a stopped tracee on htrun's behalf.

The thread is sent to a system call instruction of its own code with other registers, watched from syscall-enter-stop to
syscall-exit-stop, and then its whole state is restored. Its signals are blocked meanwhile, so no handler can run with
borrowed registers. Single-stepping is not used: its SIGTRAP is a forced signal, which would reset the disposition of a
guest that blocks or ignores SIGTRAP (kernel/signal.c, force_sig_info_to_task).
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

from htrun.hosts.calls import Abi
from htrun.tracee.memory import Memory
from htrun.tracee.ptrace import TraceeDied
from htrun.tracee.stopped import Stopped
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from htrun.hosts.host import Registers

ALL_SIGNALS = (1 << 64) - 1
"""A mask that blocks every signal."""
_MOST_ERRNO = 4095


def call_instruction(memory: Memory, abi: Abi, after: int) -> int:
    """The address of the call instruction that ends at ``after``, the program counter of a thread after a call.

    Raises OSError if there is none: then the thread can't be made to call again from there.
    """
    address = after - len(abi.instruction)
    if memory.read(address, len(abi.instruction)) != abi.instruction:
        raise OSError(8, f"no {abi.bits}-bit system call instruction at {address:#x}")
    return address


class Injection:
    """A stopped thread that makes system calls for htrun, as a context. At its end, everything is restored.

    ``instruction``: address of a system call instruction of ``abi`` in the thread's memory. The thread may be in any
    ptrace-stop; after the context it is in a syscall-exit-stop, so a signal it was stopped for is discarded.
    """

    def __init__(self, stopped: Stopped, waiter: Waiter, abi: Abi, instruction: int, registers: Registers) -> None:
        self._stopped = stopped
        self._tid = stopped.tid
        self._waiter = waiter
        self._abi = abi
        self._instruction = instruction
        self._saved = registers.copy()
        self._mask = 0
        self._died = False

    def __enter__(self) -> Injection:
        self._mask = self._stopped.signal_mask()
        self._stopped.set_signal_mask(ALL_SIGNALS)
        return self

    def call(self, name: str, *arguments: int) -> int:
        """Make the call; returns its result. Raises OSError with the call's errno."""
        registers = self._saved.copy()
        registers.pc = self._instruction
        registers.result = self._abi.numbers[name]
        registers.skip_call()
        for register, value in zip(self._abi.arguments, arguments, strict=False):
            setattr(registers, register, value & ((1 << self._abi.bits) - 1))
        try:
            self._stopped.set_registers(registers)
            self._stopped.run_to_syscall_stop(self._waiter)
            self._stopped.run_to_syscall_stop(self._waiter)
            self._stopped.read_registers(registers)
        except TraceeDied:
            self._died = True
            raise
        result = self._abi.result(registers)
        if -_MOST_ERRNO <= result < 0:
            raise OSError(-result, f"{name} in thread {self._tid}: {os.strerror(-result)}")
        return result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TraceeDied):
            return
        if self._died:
            # Any other error is ignored, since the id may belong to another program by now.
            raise TraceeDied(self._tid) from error
        self._stopped.set_registers(self._saved)
        self._stopped.set_signal_mask(self._mask)
