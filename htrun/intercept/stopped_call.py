"""A system call that a thread is stopped at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.hosts.calls import Abi

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.intercept.guest import StoppedThread
    from htrun.tracee.inject import Injection
    from htrun.tracee.wait import Waiter


class StoppedCall:
    """``stopped``: the thread, which is stopped before the call, and once that was made or skipped, after it.
    ``registers``: those of the thread."""

    __slots__ = ("abi", "name", "registers", "stopped", "thread")

    def __init__(self, stopped: StoppedThread, name: str, abi: Abi, registers: Registers) -> None:
        self.stopped = stopped
        self.thread = stopped.thread
        self.name = name
        self.abi = abi
        self.registers = registers

    @property
    def result(self) -> int:
        """The result, after the call was made: -4095 to -1 is an errno."""
        return self.abi.result(self.registers)

    def argument(self, index: int) -> int:
        """An argument, 0 to 5. The registers that hold the arguments keep their values in the call."""
        return self.abi.argument(self.registers, index)

    def set_argument(self, index: int, value: int) -> None:
        """Replace an argument, 0 to 5, among ``registers``."""
        self.abi.set_argument(self.registers, index, value)

    def write_registers(self) -> None:
        """Give the thread ``registers``."""
        self.stopped.set_registers(self.registers)

    def finish(self, waiter: Waiter) -> None:
        """Let the call be made. Raises `TraceeDied`."""
        # No signal is delivered between a call's start and its syscall-exit-stop, so none can be held back here.
        self.stopped.run_to_syscall_stop(waiter)
        self.stopped.read_registers(self.registers)

    def skip(self, waiter: Waiter) -> None:
        """Go to the end of the call, which is not made. Raises `TraceeDied`."""
        self.registers.skip_call()
        self.write_registers()
        self.finish(waiter)

    def make(self, injection: Injection) -> int:
        """The same call by a thread whose own was skipped. Raises OSError with the call's errno."""
        return injection.call(self.name, *(self.argument(index) for index in range(6)))
