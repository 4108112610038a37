"""Replaces the exec of a program for another machine, which the kernel can't do, with an exec of the program's
emulator.

The emulator's arguments need memory in the tracee. They do not fit on every stack: the stack of a vfork child may have
only a few kilobytes, in the middle of the parent's memory (posix_spawn, Go). So the thread maps memory, by a call that
htrun injects before the exec. An exec removes this memory with the old address space. If a parent shares the address
space, the memory remains, and the next exec reuses it.
"""

from __future__ import annotations

import mmap
import os

from htrun.intercept.guest import StoppedThread, Thread
from htrun.intercept.stopped_call import StoppedCall
from htrun.launch.emulators import Emulators
from htrun.launch.files import FileView
from htrun.launch.rewrite import ExecRewrite, rewrite_exec
from htrun.runner.machine_starts import MachineStarts
from htrun.tracee.inject import ALL_SIGNALS, Injection, call_instruction
from htrun.tracee.ptrace import Request, TraceeDied
from htrun.tracee.stops import EventStop, PtraceEvent
from htrun.tracee.wait import Waiter

_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = -100
_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS = 0x22


class ForeignExec:
    """Redirects execve and execveat: at the seccomp stop of the call, it replaces the arguments of the call."""

    def __init__(self, waiter: Waiter, emulators: Emulators, machines: MachineStarts) -> None:
        self._waiter = waiter
        self._emulators = emulators
        self._machines = machines

    def redirect(self, call: StoppedCall) -> bool:
        """Replace the arguments of ``call`` if it executes a foreign program. Returns whether they were replaced. If
        so, the thread must also be stopped after the call: if the exec fails, `returned` must restore the thread's
        registers."""
        thread = call.thread
        try:
            path, files, first = self._target(call)
        except OSError:
            # A bad address: the kernel will return EFAULT.
            return False
        memory, table = thread.space.memory, call.argument(first)
        rewrite = rewrite_exec(
            path,
            lambda: memory.read_strings(memory.read_words(table, call.abi.word)),
            self._emulators,
            files,
            lambda emulator, words: self._machines.arguments(thread.process.pid, emulator, words),
        )
        if rewrite is None:
            return False
        before = call.registers.copy()
        try:
            path_at, argv_at = self._write_arguments(call, rewrite)
        except OSError:
            # There is no memory for the arguments, so the exec is not replaced. The kernel cannot run the program, and
            # the exec fails as it would without htrun.
            return False
        thread.exec.registers = before
        if call.name == "execveat":
            call.set_argument(0, _AT_FDCWD)
            call.set_argument(4, call.argument(4) & ~_AT_EMPTY_PATH)
        call.set_argument(first - 1, path_at)
        call.set_argument(first, argv_at)
        call.write_registers()
        thread.exec.big_endian = rewrite.guest is not None and rewrite.guest.big_endian
        return True

    def returned(self, stopped: StoppedThread) -> None:
        """Handle a thread that is stopped after a call. If the call was a redirected exec, the exec has failed: restore
        the thread's registers, and set the error as the result."""
        thread = stopped.thread
        if thread.exec.registers is None:
            return
        self._machines.failed(thread.process.pid)
        self.done(thread)
        registers = thread.exec.registers.copy()
        stopped.read_registers(registers)
        result = registers.result
        registers = thread.exec.registers
        registers.result = result
        stopped.set_registers(registers)
        thread.exec.registers = None
        thread.exec.big_endian = False

    @staticmethod
    def _target(call: StoppedCall) -> tuple[bytes, FileView, int]:
        """The program's path, the file system view in which the path is looked up, and the index of the argument
        argv."""
        memory, pid = call.thread.space.memory, call.thread.process.pid
        files = FileView(pid)
        if call.name == "execve":
            return memory.read_string(call.argument(0)), files, 1
        path = memory.read_string(call.argument(1))
        descriptor = call.argument(0) & 0xFFFFFFFF
        if not path and call.argument(4) & _AT_EMPTY_PATH:
            return os.fsencode(f"/proc/self/fd/{descriptor}"), files, 2
        if descriptor != _AT_FDCWD & 0xFFFFFFFF:
            files = FileView(pid, f"/proc/{pid}/fd/{descriptor}")
        return path, files, 2

    @staticmethod
    def done(thread: Thread) -> None:
        """Free the memory of the arguments for other threads, after the exec has copied the arguments or has failed."""
        if thread.exec.room is not None:
            thread.space.exec_rooms.append(thread.exec.room)
            thread.exec.room = None

    def _write_arguments(self, call: StoppedCall, rewrite: ExecRewrite) -> tuple[int, int]:
        """Write the emulator's path and argv to the thread's memory. Returns their addresses. Raises OSError."""
        strings = [rewrite.executable, *rewrite.argv]
        block = b"".join(string + b"\0" for string in strings)
        word = call.abi.word
        table_size = word * (len(rewrite.argv) + 1)
        start = self._room(call, table_size + len(block))
        addresses, at = [], start + table_size
        for string in strings:
            addresses.append(at)
            at += len(string) + 1
        table = b"".join(address.to_bytes(word, "little") for address in [*addresses[1:], 0])
        call.thread.space.memory.write(start, table + block)
        return addresses[0], start

    def _room(self, call: StoppedCall, size: int) -> int:
        """The address of ``size`` bytes that are reserved for this exec until `done` is called. Raises OSError."""
        thread = call.thread
        if thread.process.filtered:
            # A call injected by htrun could kill the thread, so the arguments are written below its stack.
            return call.registers.below_stack(size)
        rooms = thread.space.exec_rooms
        room = next((room for room in rooms if room[1] >= size), None)
        if room is None:
            size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
            room = self._mapped(call, size), size
        else:
            rooms.remove(room)
        thread.exec.room = room
        return room[0]

    def _mapped(self, call: StoppedCall, size: int) -> int:
        """Map ``size`` bytes by a call that the thread makes. Afterwards the thread is stopped before its exec again.
        Raises OSError."""
        registers = call.registers
        instruction = call_instruction(call.thread.space.memory, call.abi, registers.pc)
        skipped = registers.copy()
        skipped.skip_call()
        call.stopped.set_registers(skipped)
        call.stopped.run_to_syscall_stop(self._waiter)
        try:
            with Injection(call.stopped, self._waiter, call.abi, instruction, registers) as injection:
                everything = 0, size, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, (1 << 64) - 1, 0
                address = injection.call("mmap", *everything)
        except OSError:
            self._call_again(call, instruction)
            raise
        self._call_again(call, instruction)
        return address

    def _call_again(self, call: StoppedCall, instruction: int) -> None:
        """Move the thread from the end of a skipped call back to the seccomp stop of the same call."""
        stopped = call.stopped
        again = call.registers.copy()
        again.pc, again.result = instruction, call.registers.call_number
        again.skip_call()
        mask = stopped.signal_mask()
        stopped.set_signal_mask(ALL_SIGNALS)
        stopped.set_registers(again)
        stopped.run_to_syscall_stop(self._waiter)
        stop = stopped.run_to_next(self._waiter, Request.SYSCALL)
        if stop != EventStop(stopped.tid, PtraceEvent.SECCOMP):
            raise TraceeDied(stopped.tid)
        stopped.set_signal_mask(mask)
