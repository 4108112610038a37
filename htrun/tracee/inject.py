"""System calls made by a stopped tracee on htrun's behalf.

The thread is sent to a system call instruction of its own code with other registers, watched from syscall-enter-stop to
syscall-exit-stop, and then given back everything it had. Its signals are blocked meanwhile, so no handler can run with
borrowed registers. Single-stepping is not used: its SIGTRAP is a forced signal, which would reset the disposition of a
guest that blocks or ignores SIGTRAP (kernel/signal.c, force_sig_info_to_task).
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

from htrun.hosts.calls import Abi
from htrun.tracee import ptrace, stops
from htrun.tracee.memory import Memory
from htrun.tracee.ptrace import Request
from htrun.tracee.wait import Waiter, is_end

if TYPE_CHECKING:
    from htrun.hosts.host import Registers

_ALL_SIGNALS = (1 << 64) - 1
_MOST_ERRNO = 4095


def call_instruction(memory: Memory, abi: Abi, behind: int) -> int:
    """The address of the call instruction that ends at ``behind``, where a thread stands that has made a call.

    Raises OSError if there is none: such a place can't be sent back to make another call.
    """
    address = behind - len(abi.instruction)
    if memory.read(address, len(abi.instruction)) != abi.instruction:
        raise OSError(8, f"no {abi.bits}-bit system call instruction at {address:#x}")
    return address


def resume_until_syscall_stop(tid: int, waiter: Waiter) -> None:
    """Let a stopped thread run to its next syscall-stop.

    A job-control stop that comes meanwhile happens to the rest of its process; this thread is kept going, and joins
    the others, or finds that SIGCONT was there first, when it is resumed next (PTRACE_INTERRUPT; kernel/signal.c,
    do_jobctl_trap). Raises `ptrace.TraceeDied` when the thread dies, be it by the exec of another, which then has its
    id: nothing may be done to that one. `waiter` reports its wait status next.
    """
    deliver = 0
    joined = False
    while True:
        ptrace.request(Request.SYSCALL, tid, 0, deliver)
        deliver = 0
        match waiter.next_of(tid):
            case stops.SyscallStop():
                break
            case stops.SignalStop(_, number):
                deliver = number
            case stops.GroupStop():
                joined = True
            case stop if is_end(stop):
                raise ptrace.TraceeDied(tid)
            case _:
                pass
    if joined:
        ptrace.request(Request.INTERRUPT, tid)


class Injection:
    """A stopped thread that makes system calls for htrun, as a context: all is put back on the way out.

    ``instruction``: address of a system call instruction of ``abi`` in the thread's memory. The thread may be in any
    ptrace-stop; behind the context it is in a syscall-exit-stop, so a signal it was stopped for is discarded.
    """

    def __init__(self, tid: int, waiter: Waiter, abi: Abi, instruction: int, registers: Registers) -> None:
        self._tid = tid
        self._waiter = waiter
        self._abi = abi
        self._instruction = instruction
        self._saved = registers.copy()
        self._mask = 0
        self._died = False

    def __enter__(self) -> Injection:
        self._mask = ptrace.signal_mask(self._tid)
        ptrace.set_signal_mask(self._tid, _ALL_SIGNALS)
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
            ptrace.set_registers(self._tid, registers)
            resume_until_syscall_stop(self._tid, self._waiter)
            resume_until_syscall_stop(self._tid, self._waiter)
            ptrace.get_registers(self._tid, registers)
        except ptrace.TraceeDied:
            self._died = True
            raise
        result = self._abi.result(registers)
        if -_MOST_ERRNO <= result < 0:
            raise OSError(-result, f"{name} in thread {self._tid}: {os.strerror(-result)}")
        return result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ptrace.TraceeDied):
            return
        if self._died:
            # Whatever else came of that: what has the id by now may be another program.
            raise ptrace.TraceeDied(self._tid) from error
        ptrace.set_registers(self._tid, self._saved)
        ptrace.set_signal_mask(self._tid, self._mask)
