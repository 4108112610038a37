"""A system call at which a thread is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.hosts.calls import Abi

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.intercept.guest import StoppedThread
    from htrun.tracee.inject import Injection
    from htrun.tracee.wait import Waiter


class StoppedCall:
    """A system call of the thread ``stopped``. The thread is stopped before the call. After the call was made or
    skipped, the thread is stopped after the call. ``registers``: the registers of the thread."""

    __slots__ = ("abi", "name", "registers", "stopped", "thread")

    def __init__(self, stopped: StoppedThread, name: str, abi: Abi, registers: Registers) -> None:
        self.stopped = stopped
        self.thread = stopped.thread
        self.name = name
        self.abi = abi
        self.registers = registers

    @property
    def result(self) -> int:
        """The result of a call that was made. -4095 to -1 is a negated errno."""
        return self.abi.result(self.registers)

    def argument(self, index: int) -> int:
        """The argument at ``index``, which is 0 to 5. The registers that hold arguments keep their values during the
        call."""
        return self.abi.argument(self.registers, index)

    def set_argument(self, index: int, value: int) -> None:
        """Replace the argument at ``index``, which is 0 to 5, in ``registers``."""
        self.abi.set_argument(self.registers, index, value)

    def write_registers(self) -> None:
        """Write ``registers`` to the thread."""
        self.stopped.set_registers(self.registers)

    def finish(self, waiter: Waiter) -> None:
        """Let the thread make the call. Raises `TraceeDied`."""
        # No signal can be lost here, because none is delivered between the start of a call and its syscall-exit-stop.
        self.stopped.run_to_syscall_stop(waiter)
        self.stopped.read_registers(self.registers)

    def skip(self, waiter: Waiter) -> None:
        """Move the thread to the end of the call without making the call. Raises `TraceeDied`."""
        self.registers.skip_call()
        self.write_registers()
        self.finish(waiter)

    def make(self, injection: Injection) -> int:
        """Make the same call by ``injection``, after the thread's own call was skipped. Raises OSError with the errno
        of the call."""
        return injection.call(self.name, *(self.argument(index) for index in range(6)))
