"""An exec of a tracee that the kernel can't do, because the program is for another machine, becomes its emulator's.

The emulator's arguments need memory in the tracee. Its stack is no place for them: that of a vfork child may be a few
kilobytes amid its parent's memory (posix_spawn, Go). So the thread maps some, by a call injected before its exec. An
exec takes it away again; where the memory is shared with a parent, it stays and serves the next one.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

from htrun.hosts.calls import Abi
from htrun.intercept.guest import Thread
from htrun.launch.emulators import Emulators
from htrun.launch.files import FileView
from htrun.launch.rewrite import ExecRewrite, rewrite_exec
from htrun.runner.machine_starts import MachineStarts
from htrun.tracee import ptrace
from htrun.tracee.inject import Injection, call_instruction, resume_until_syscall_stop
from htrun.tracee.ptrace import Request
from htrun.tracee.stops import Event, EventStop
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from htrun.hosts.host import Registers

_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = -100
_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS = 0x22
_ALL_SIGNALS = (1 << 64) - 1


class ForeignExec:
    """Redirects execve and execveat at the call's seccomp stop, by other arguments."""

    def __init__(self, waiter: Waiter, emulators: Emulators, machines: MachineStarts) -> None:
        self._waiter = waiter
        self._emulators = emulators
        self._machines = machines

    def redirect(self, thread: Thread, name: str, abi: Abi, registers: Registers) -> bool:
        """Whether the exec was given another program. The thread must then be watched to the end of the call, since a
        failed exec leaves it with registers of ours (`failed`)."""
        try:
            path, files, first = self._target(thread, name, abi, registers)
        except OSError:
            # A bad address: the kernel will say EFAULT.
            return False
        memory, table = thread.space.memory, abi.argument(registers, first)
        rewrite = rewrite_exec(
            path,
            lambda: memory.read_strings(memory.read_words(table, abi.word)),
            self._emulators,
            files,
            lambda emulator, words: self._machines.arguments(thread.process.pid, emulator, words),
        )
        if rewrite is None:
            return False
        before = registers.copy()
        try:
            path_at, argv_at = self._write_arguments(thread, abi, registers, rewrite)
        except OSError:
            # No memory: the kernel refuses the program, as it would without htrun.
            return False
        thread.exec.registers = before
        if name == "execveat":
            abi.set_argument(registers, 0, _AT_FDCWD)
            abi.set_argument(registers, 4, abi.argument(registers, 4) & ~_AT_EMPTY_PATH)
        abi.set_argument(registers, first - 1, path_at)
        abi.set_argument(registers, first, argv_at)
        ptrace.set_registers(thread.tid, registers)
        thread.exec.big_endian = rewrite.guest is not None and rewrite.guest.big_endian
        return True

    def failed(self, thread: Thread) -> None:
        """A redirected exec has come back: the thread gets its own registers, and the error."""
        if thread.exec.registers is None:
            return
        self._machines.failed(thread.process.pid)
        self.done(thread)
        registers = thread.exec.registers.copy()
        ptrace.get_registers(thread.tid, registers)
        result = registers.result
        registers = thread.exec.registers
        registers.result = result
        ptrace.set_registers(thread.tid, registers)
        thread.exec.registers = None
        thread.exec.big_endian = False

    @staticmethod
    def _target(thread: Thread, name: str, abi: Abi, registers: Registers) -> tuple[bytes, FileView, int]:
        """The program's path, the files among which it is looked up, and which argument is argv."""
        memory = thread.space.memory
        files = FileView(thread.process.pid)
        if name == "execve":
            return memory.read_string(abi.argument(registers, 0)), files, 1
        path = memory.read_string(abi.argument(registers, 1))
        descriptor = abi.argument(registers, 0) & 0xFFFFFFFF
        if not path and abi.argument(registers, 4) & _AT_EMPTY_PATH:
            return os.fsencode(f"/proc/self/fd/{descriptor}"), files, 2
        if descriptor != _AT_FDCWD & 0xFFFFFFFF:
            files = FileView(thread.process.pid, f"/proc/{thread.process.pid}/fd/{descriptor}")
        return path, files, 2

    @staticmethod
    def done(thread: Thread) -> None:
        """The thread's exec has taken its arguments, or failed: their memory is free for others who share it."""
        if thread.exec.room is not None:
            thread.space.exec_rooms.append(thread.exec.room)
            thread.exec.room = None

    def _write_arguments(self, thread: Thread, abi: Abi, registers: Registers, rewrite: ExecRewrite) -> tuple[int, int]:
        """Put path and argv into the thread's memory; returns their addresses. Raises OSError."""
        strings = [rewrite.executable, *rewrite.argv]
        block = b"".join(string + b"\0" for string in strings)
        table_size = abi.word * (len(rewrite.argv) + 1)
        start = self._room(thread, abi, registers, table_size + len(block))
        addresses, at = [], start + table_size
        for string in strings:
            addresses.append(at)
            at += len(string) + 1
        table = b"".join(address.to_bytes(abi.word, "little") for address in [*addresses[1:], 0])
        thread.space.memory.write(start, table + block)
        return addresses[0], start

    def _room(self, thread: Thread, abi: Abi, registers: Registers, size: int) -> int:
        """The address of ``size`` bytes that nobody else uses before the exec is `done`. Raises OSError."""
        if thread.process.filtered:
            # It may die of a call of htrun's: then the stack must do.
            return registers.below_stack(size)
        rooms = thread.space.exec_rooms
        room = next((room for room in rooms if room[1] >= size), None)
        if room is None:
            size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
            room = self._mapped(thread, abi, registers, size), size
        else:
            rooms.remove(room)
        thread.exec.room = room
        return room[0]

    def _mapped(self, thread: Thread, abi: Abi, registers: Registers, size: int) -> int:
        """Fresh memory, mapped by the thread itself, which is behind this in front of its exec once more."""
        instruction = call_instruction(thread.space.memory, abi, registers.pc)
        skipped = registers.copy()
        skipped.skip_call()
        ptrace.set_registers(thread.tid, skipped)
        resume_until_syscall_stop(thread.tid, self._waiter)
        try:
            with Injection(thread.tid, self._waiter, abi, instruction, registers) as injection:
                everything = 0, size, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, (1 << 64) - 1, 0
                address = injection.call("mmap", *everything)
        except OSError:
            self._call_again(thread.tid, instruction, registers)
            raise
        self._call_again(thread.tid, instruction, registers)
        return address

    def _call_again(self, tid: int, instruction: int, registers: Registers) -> None:
        """From behind a call that was skipped to its seccomp stop."""
        again = registers.copy()
        again.pc, again.result = instruction, registers.call_number
        again.skip_call()
        mask = ptrace.signal_mask(tid)
        ptrace.set_signal_mask(tid, _ALL_SIGNALS)
        ptrace.set_registers(tid, again)
        resume_until_syscall_stop(tid, self._waiter)
        ptrace.request(Request.SYSCALL, tid)
        stop = self._waiter.next_of(tid)
        if stop != EventStop(tid, Event.SECCOMP):
            raise ptrace.TraceeDied(tid)
        ptrace.set_signal_mask(tid, mask)
