"""Makes system calls for htrun in a stopped tracee.

The thread is moved to a system call instruction in its own code, with other registers. htrun follows the thread from
the syscall-enter-stop to the syscall-exit-stop, and then restores the thread's whole state. Meanwhile the thread's
signals are blocked, so that no handler runs with htrun's registers. Single-stepping is no alternative: its SIGTRAP is a
forced signal, which would reset the action of a guest that blocks or ignores SIGTRAP (kernel/signal.c,
force_sig_info_to_task).
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

    Raises OSError if there is no such instruction. Then the thread can't make another call there.
    """
    address = after - len(abi.instruction)
    if memory.read(address, len(abi.instruction)) != abi.instruction:
        raise OSError(8, f"no {abi.bits}-bit system call instruction at {address:#x}")
    return address


class Injection:
    """A context in which a stopped thread makes system calls for htrun. At its end, the thread's state is restored.

    ``instruction``: the address of a system call instruction of ``abi`` in the thread's memory. The thread may be at
    any ptrace-stop. If it has made a call, it is in a syscall-exit-stop after the context, so a signal for which it was
    stopped is discarded. If it has made none, it was not touched.
    """

    def __init__(self, stopped: Stopped, waiter: Waiter, abi: Abi, instruction: int, registers: Registers) -> None:
        self._stopped = stopped
        self._tid = stopped.tid
        self._waiter = waiter
        self._abi = abi
        self._instruction = instruction
        self._saved = registers.copy()
        self._mask: int | None = None
        """The thread's signal mask; None before the first call."""
        self._died = False

    @property
    def tid(self) -> int:
        """The id of the thread."""
        return self._tid

    def __enter__(self) -> Injection:
        return self

    def call(self, name: str, *arguments: int) -> int:
        """Make the call ``name``, and return its result. Raises OSError with the errno of the call."""
        registers = self._saved.copy()
        registers.pc = self._instruction
        registers.result = self._abi.numbers[name]
        registers.skip_call()
        for register, value in zip(self._abi.arguments, arguments, strict=False):
            setattr(registers, register, value & ((1 << self._abi.bits) - 1))
        try:
            if self._mask is None:
                self._mask = self._stopped.signal_mask()
                self._stopped.set_signal_mask(ALL_SIGNALS)
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
            # Any other error is ignored, since another program may have the id by now.
            raise TraceeDied(self._tid) from error
        if self._mask is None:
            return
        self._stopped.set_registers(self._saved)
        self._stopped.set_signal_mask(self._mask)
