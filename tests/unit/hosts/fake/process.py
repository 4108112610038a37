"""A program of the made-up machine that a tracer stops, without a process. Its instructions are interpreted. Its memory
is the memory of the test, so mappings and protections have their usual effect. `Kernel` replaces ptrace(2) and wait(2).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Callable
from typing import NamedTuple

from htrun.hosts import host
from htrun.hosts.x86_64.abi import X86_64
from htrun.intercept.guest import StoppedThread, Thread
from htrun.tracee import stops
from htrun.tracee.ptrace import Request
from tests.unit.hosts.fake.host import ABI, FakeHost, Registers
from tests.unit.hosts.fake.instructions import WORD, Instruction, Operation

_MASK = (1 << 64) - 1
_SEGV_ACCERR = 2
_LONG_SINCE = 1 << 40
"""The ticks of a machine that was switched on long ago. They must not be 0, because 0 in a ring means that no time of a
trap is stored."""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Fault(NamedTuple):
    """The reason of a stop: a SIGSEGV."""

    code: int
    address: int


class _Faulted(Exception):
    def __init__(self, address: int) -> None:
        self.address = address


def _transfer(call: str, address: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
    """Read or write this process's own memory as an instruction would, with its protection. Raises `_Faulted`."""
    own, other = _IoVec(ctypes.addressof(buffer), len(buffer)), _IoVec(address, len(buffer))
    done = getattr(_libc, call)(os.getpid(), ctypes.byref(own), 1, ctypes.byref(other), 1, 0)
    if done != len(buffer):
        raise _Faulted(address)


def load(address: int, size: int) -> int:
    """A number in memory."""
    buffer = ctypes.create_string_buffer(size)
    _transfer("process_vm_readv", address, buffer)
    return int.from_bytes(buffer.raw, "little")


def store(address: int, value: int, size: int) -> None:
    """Write a number to memory."""
    _transfer("process_vm_writev", address, ctypes.create_string_buffer(value.to_bytes(size, "little"), size))


class Kernel:
    """One thread of the program, and the requests of its tracer. ``registers``: the registers of the thread;
    ``counter``: the ticks, which are incremented at each reading.
    """

    def __init__(self) -> None:
        self.registers = Registers()
        self.tid = os.getpid()
        self.counter = _LONG_SINCE
        self.calls: list[str] = []
        """The names of the injected system calls."""
        self._mapped: list[tuple[int, int]] = []
        self._is_in_call = False
        self._fault = Fault(0, 0)

    def read_counter(self) -> int:
        """The counter, for the program and for htrun."""
        self.counter += 1
        return self.counter

    # The program.

    def run(self, until: Callable[[], bool] = lambda: False) -> Fault | None:
        """Run the program to its next fault, or to the first instruction at which ``until`` is true (None)."""
        while not until():
            try:
                self._step()
            except _Faulted as fault:
                self._fault = Fault(_SEGV_ACCERR, fault.address)
                return self._fault
            except _Halted:
                self._fault = Fault(FakeHost.halt_code, 0)
                return self._fault
        return None

    def _step(self) -> None:
        registers = self.registers
        operation, a, b, number = Instruction.decode(load(registers.pc, WORD).to_bytes(WORD, "little"))
        value_a, value_b = self._get(a), self._get(b)
        after = registers.pc + WORD
        match operation:
            case Operation.HALT | Operation.CALL:
                raise _Halted
            case Operation.STORE:
                store(value_b + number, value_a, 8)
            case Operation.STORE_HALF:
                store(value_b + number, value_a & 0xFFFFFFFF, 4)
            case Operation.LOAD:
                self._set(a, load(value_b + number, 8))
            case Operation.SHIFT_IN:
                self._set(a, value_a << 16 | number & 0xFFFF)
            case Operation.MOVE:
                self._set(a, value_b)
            case Operation.ADD:
                self._set(a, value_a + value_b)
            case Operation.ADD_NUMBER:
                self._set(a, value_a + number)
            case Operation.SHIFT:
                self._set(a, value_a << number)
            case Operation.COUNTER:
                self._set(a, self.read_counter())
            case Operation.THREAD_POINTER:
                self._set(a, registers.thread_pointer)
            case Operation.JUMP_IF_NOT_BELOW:
                after += WORD * number if value_a >= value_b else 0
            case Operation.JUMP_IF_DIFFERENT:
                after += WORD * number if value_a != value_b else 0
            case Operation.JUMP:
                after += WORD * number
        registers.pc = after

    def _get(self, number: int) -> int:
        return int(getattr(self.registers, f"r{number}"))

    def _set(self, number: int, value: int) -> None:
        setattr(self.registers, f"r{number}", value & _MASK)

    # The requests of its tracer.

    @property
    def last_fault(self) -> Fault:
        """The reason of its stop."""
        return self._fault

    def resume(self, request: Request) -> None:
        """PTRACE_SYSCALL, the only request: continue to the start or the end of a call."""
        assert request is Request.SYSCALL
        if not self._is_in_call:
            assert load(self.registers.pc, WORD).to_bytes(WORD, "little") == ABI.instruction
            self._is_in_call = True
            return
        self._is_in_call = False
        name = next(name for name, number in ABI.numbers.items() if number == self.registers.result)
        self.calls.append(name)
        arguments = [ABI.argument(self.registers, index) for index in range(6)]
        self.registers.result = self.call(name, arguments) & _MASK
        self.registers.pc += WORD

    def next_of(self, tid: int) -> stops.Stop:
        """Return its next stop."""
        return stops.SyscallStop(tid)

    def call(self, name: str, arguments: list[int]) -> int:
        """Execute the call for the program; returns the result."""
        result = int(_libc.syscall(X86_64.numbers[name], *(ctypes.c_ulong(argument) for argument in arguments)))
        if name == "mmap" and result != -1:
            self._mapped.append((result, arguments[1]))
        return -ctypes.get_errno() if result == -1 else result

    def close(self) -> None:
        """Unmap the memory that the program has mapped."""
        for address, size in self._mapped:
            _unmap(address, size)


class FakeStopped(StoppedThread):
    """The thread at a stop: its registers and signals are the `Kernel`'s."""

    __slots__ = ("kernel", "mask")

    def __init__(self, thread: Thread, kernel: Kernel) -> None:
        super().__init__(thread)
        self.kernel = kernel
        self.mask = 0

    def registers(self) -> host.Registers:
        """A copy."""
        return self.kernel.registers.copy()

    def read_registers(self, registers: host.Registers) -> None:
        """Copy the registers to ``registers``."""
        ctypes.memmove(ctypes.addressof(registers), ctypes.addressof(self.kernel.registers), ctypes.sizeof(Registers))

    def set_registers(self, registers: host.Registers) -> None:
        """Write all."""
        ctypes.memmove(ctypes.addressof(self.kernel.registers), ctypes.addressof(registers), ctypes.sizeof(Registers))

    def user_word(self, offset: int) -> int:
        """One register, by its name in `FakeHost.words`."""
        return ctypes.c_uint64.from_buffer(self.kernel.registers, offset).value

    def signal_mask(self) -> int:
        """The value that was set."""
        return self.mask

    def set_signal_mask(self, mask: int) -> None:
        """Replace it."""
        self.mask = mask

    def fault(self) -> tuple[int, int]:
        """``(si_code, si_addr)``."""
        return self.kernel.last_fault

    def resume(self, request: Request = Request.CONT, number: int = 0) -> None:
        """Resume the thread; the stop cannot be used any more."""
        assert number == 0
        self.kernel.resume(request)
        del self.tid


class _Halted(Exception):
    """The program has executed a halt instruction."""


class Pages:
    """Memory of the program: ``size`` bytes at ``address``. ``room``: the number of free bytes before and after this
    memory. The test's process has libraries that are larger than the range of a jump. Without ``room``, the memory may
    be between two of them, so that no address in the range of a jump is free.
    """

    def __init__(self, size: int, room: int = 0) -> None:
        start = _map(room + size + room)
        self.address = start + room
        for end in (start, self.address + size):
            if room:
                _unmap(end, room)
        weakref.finalize(self, _unmap, self.address, size)


def _map(size: int) -> int:
    protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = _libc.syscall(X86_64.numbers["mmap"], 0, ctypes.c_ulong(size), protection, flags, -1, 0)
    if address == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(address)


def _unmap(address: int, size: int) -> None:
    _libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
