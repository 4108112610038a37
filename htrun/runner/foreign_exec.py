"""An exec of a tracee that the kernel can't do, because the program is for another machine, becomes its emulator's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from htrun.intercept.guest import Thread
from htrun.launch.emulators import Emulators
from htrun.launch.files import FileView
from htrun.launch.rewrite import ExecRewrite, rewrite_exec
from htrun.tracee import ptrace
from htrun.tracee.abi import Abi
from htrun.tracee.inject import copy_registers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from htrun.tracee.registers import Registers

_RED_ZONE = 128
_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = -100


class ForeignExec:
    """Redirects execve and execveat at the call's seccomp stop, by other arguments on the thread's own stack."""

    def __init__(self, emulators: Emulators, machine: Callable[[Sequence[str]], Sequence[str]]) -> None:
        self._emulators = emulators
        self._machine = machine

    def redirect(self, thread: Thread, name: str, abi: Abi, registers: Registers) -> bool:
        """Whether the exec was given another program. The thread must then be watched to the end of the call, since a
        failed exec leaves it with registers of ours (`failed`)."""
        try:
            path, files, first = self._target(thread, name, abi, registers)
            words = thread.space.memory.read_words(abi.argument(registers, first), abi.word)
            argv = [thread.space.memory.read_string(word) for word in words]
        except OSError:
            # A bad address: the kernel will say EFAULT.
            return False
        rewrite = rewrite_exec(path, argv, self._emulators, files, self._machine)
        if rewrite is None:
            return False
        thread.exec_registers = copy_registers(registers)
        path_at, argv_at = self._write_arguments(thread, abi, registers, rewrite)
        if name == "execveat":
            setattr(registers, abi.arguments[0], _AT_FDCWD & ((1 << abi.bits) - 1))
            setattr(registers, abi.arguments[4], abi.argument(registers, 4) & ~_AT_EMPTY_PATH)
        setattr(registers, abi.arguments[first - 1], path_at)
        setattr(registers, abi.arguments[first], argv_at)
        ptrace.set_registers(thread.tid, registers)
        thread.next_big_endian = rewrite.guest is not None and rewrite.guest.big_endian
        return True

    def failed(self, thread: Thread) -> None:
        """A redirected exec has come back: the thread gets its own registers, and the error."""
        if thread.exec_registers is None:
            return
        registers = copy_registers(thread.exec_registers)
        ptrace.get_registers(thread.tid, registers)
        result = registers.rax
        registers = thread.exec_registers
        registers.rax = result
        ptrace.set_registers(thread.tid, registers)
        thread.exec_registers = None
        thread.next_big_endian = False

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
    def _write_arguments(thread: Thread, abi: Abi, registers: Registers, rewrite: ExecRewrite) -> tuple[int, int]:
        """Put path and argv below the thread's stack pointer; returns their addresses. Exec throws them away; if it
        fails, nothing below the red zone is anybody's."""
        strings = [rewrite.executable, *rewrite.argv]
        block = b"".join(string + b"\0" for string in strings)
        table_size = abi.word * (len(rewrite.argv) + 1)
        start = (registers.rsp - _RED_ZONE - len(block) - table_size - 64) & ~0xF
        addresses, at = [], start + table_size
        for string in strings:
            addresses.append(at)
            at += len(string) + 1
        table = b"".join(address.to_bytes(abi.word, "little") for address in [*addresses[1:], 0])
        thread.space.memory.write(start, table + block)
        return addresses[0], start
