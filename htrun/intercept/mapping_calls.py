"""System calls that make, change or end the channel's mappings, caught by the seccomp filters.

A mapping of the channel is protected before the thread that made it goes on: the header becomes read-only, the control
region inaccessible, or, in a machine, of whose loads its emulator would die, read-only too: it holds zeros. What the
guest later unmaps, moves, replaces or unprotects is followed, so that a fault there is the guest's own again, or the
protection comes back.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from htrun.channel import layout
from htrun.channel.file import Channel, Identity
from htrun.events.warnings import Kind, Warnings
from htrun.intercept.guest import Mapping, Process, Thread
from htrun.intercept.masks import Masks
from htrun.intercept.scratch import Scratch
from htrun.tracee import ptrace, seccomp
from htrun.tracee.abi import Abi
from htrun.tracee.inject import Injection, call_instruction, resume_until_syscall_stop
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.tracee.registers import Registers

_PROT_NONE, _PROT_READ = 0, 1
_MMAP2_UNIT = 4096
_MOST_FILTERS = 8
_PROGRAM_HEADER = 16
"""Bytes kept for a struct sock_fprog before the filter it points to."""


class MappingCalls:
    """Follows a thread through mmap, mremap, munmap and mprotect when they are about the channel."""

    def __init__(
        self,
        channel: Channel,
        waiter: Waiter,
        masks: Masks,
        warnings: Warnings,
        recorded: seccomp.Calls = seccomp.NO_CALLS,
        is_machine: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """``recorded``: the calls that are recorded, of which further filters have to know. ``is_machine``: whether the
        process with some id runs a whole machine."""
        self._is_machine = is_machine
        self._recorded = recorded
        self._channel = channel
        self._waiter = waiter
        self._scratch = Scratch(channel)
        self._masks = masks
        self._warnings = warnings

    def handle(self, thread: Thread, name: str, abi: Abi, registers: Registers) -> None:
        """A thread is stopped in front of call ``name``; behind this it is still stopped, before or after it."""
        match name:
            case "mmap" | "old_mmap":
                self._mmap(thread, name, abi, registers)
            case "munmap":
                self._munmap(thread, abi, registers)
            case "mremap":
                self._mremap(thread, abi, registers)
            case "mprotect" | "pkey_mprotect":
                self._mprotect(thread, abi, registers)

    def _finish(self, thread: Thread, registers: Registers) -> None:
        """Let the call run; ``registers`` are then those of its syscall-exit-stop."""
        # No signal is delivered between a call's start and its syscall-exit-stop, so none can be held back here.
        resume_until_syscall_stop(thread.tid, self._waiter)
        ptrace.get_registers(thread.tid, registers)

    def _mmap(self, thread: Thread, name: str, abi: Abi, registers: Registers) -> None:
        try:
            length, flags, descriptor, offset = self._mmap_arguments(thread, name, abi, registers)
        except OSError:
            # A bad address: the kernel will say EFAULT.
            return
        ours = not flags & seccomp.MAP_ANONYMOUS and self._is_channel(thread.tid, descriptor)
        space = thread.space
        if not ours and not space.mappings:
            return
        self._finish(thread, registers)
        start = abi.result(registers)
        if -4095 <= start < 0:
            return
        if not ours or not flags & seccomp.MAP_SHARED:
            space.mappings.remove(start, start + length)
            return
        mapping = Mapping(start, -(-length // 4096) * 4096, offset)
        space.mappings.add(mapping)
        space.machine = self._is_machine(thread.process.pid)
        if thread.process.filtered:
            # The guest's own filter may forbid mprotect, but has just allowed this very call.
            flags |= seccomp.MAP_FIXED
            self._protect(thread, [mapping], abi, registers, remap=(flags, descriptor))
        else:
            self._protect(thread, [mapping], abi, registers)

    @staticmethod
    def _mmap_arguments(thread: Thread, name: str, abi: Abi, registers: Registers) -> tuple[int, int, int, int]:
        """Length in bytes, flags, file descriptor, offset in bytes."""
        if name == "old_mmap":
            # The i386 call of 1991: one argument, the address of all six (mm/mmap.c, struct mmap_arg_struct).
            block = thread.space.memory.read(abi.argument(registers, 0), 24)
            words = [int.from_bytes(block[at : at + 4], "little") for at in range(0, 24, 4)]
            return words[1], words[3], words[4], words[5]
        length, flags, descriptor, offset = (abi.argument(registers, index) for index in (1, 3, 4, 5))
        return length, flags, descriptor & 0xFFFFFFFF, offset * _MMAP2_UNIT if abi.bits == 32 else offset

    def _is_channel(self, tid: int, descriptor: int) -> bool:
        try:
            status = os.stat(f"/proc/{tid}/fd/{descriptor}")
        except OSError:
            return False
        return Identity.of(status) == self._channel.identity

    def _protect(
        self,
        thread: Thread,
        mappings: list[Mapping],
        abi: Abi,
        registers: Registers,
        remap: tuple[int, int] | None = None,
    ) -> None:
        """Put the protection on, and a filter that tells when the guest changes these mappings.

        ``remap``: flags and file descriptor with which to map the regions anew instead of calling mprotect.
        """
        space, pid = thread.space, thread.process.pid
        try:
            space.syscall_instruction = call_instruction(space.memory, abi, registers.rip)
            space.abi = abi
            with Injection(thread.tid, self._waiter, abi, space.syscall_instruction, registers) as injection:
                for mapping in mappings:
                    self._set_protection(injection, abi, mapping, mapping.header, _PROT_READ, remap)
                    control = _PROT_READ if space.machine else _PROT_NONE
                    self._set_protection(injection, abi, mapping, mapping.control, control, remap)
                    self._guard(injection, thread, abi, mapping, registers)
        except OSError as error:
            self._warnings.warn(
                Kind.INJECTION,
                pid,
                f"process {pid} has mapped the channel, but forbids htrun to guard it ({error}): "
                "its events may be missed",
            )
        self._masks.begin(space)

    @staticmethod
    def _set_protection(
        injection: Injection,
        abi: Abi,
        mapping: Mapping,
        part: tuple[int, int],
        protection: int,
        remap: tuple[int, int] | None,
    ) -> None:
        low, high = part
        if low >= high:
            return
        if remap is None:
            injection.call("mprotect", low, high - low, protection)
            return
        flags, descriptor = remap
        offset = mapping.offset + low - mapping.start
        unit = _MMAP2_UNIT if abi.bits == 32 else 1
        injection.call("mmap", low, high - low, protection, flags, descriptor, offset // unit)

    def _guard(self, injection: Injection, thread: Thread, abi: Abi, mapping: Mapping, registers: Registers) -> None:
        """Add a filter for the mapping, unless one already covers it.

        Where that can't be, the channel works, but the guest's later changes to the mapping go unseen.
        """
        process = thread.process
        low, high = mapping.part(0, layout.CONTROL_OFFSET + layout.CONTROL_SIZE)
        if low >= high or any(start <= low and high <= end for start, end in process.guarded):
            return
        # Each further filter makes every system call dearer, and there can't be many hundreds (kernel/seccomp.c,
        # MAX_INSNS_PER_PATH), so many mappings get one filter that stops at all.
        if len(process.guarded) >= _MOST_FILTERS:
            low, high = 0, 1 << 64
        try:
            if process.filtered:
                raise PermissionError(1, "it has a seccomp filter of its own")
            self._install(injection, process, abi, registers, low, high)
        except OSError as error:
            self._warnings.warn(
                Kind.INJECTION,
                process.pid,
                f"process {process.pid} has mapped the channel, but htrun cannot watch what becomes of the mapping "
                f"({error.strerror}): stores behind an munmap or mprotect of the control region may not be events",
            )
        # Also when it failed: trying again would fail again.
        process.guarded.append((low, high))

    def _install(
        self, injection: Injection, process: Process, abi: Abi, registers: Registers, low: int, high: int
    ) -> None:
        program = seccomp.channel_filter(low, high, self._recorded, threads=not process.guarded)

        def at(address: int) -> bytes:
            header = seccomp.program_header(abi, program, address + _PROGRAM_HEADER)
            return header.ljust(_PROGRAM_HEADER, b"\0") + program

        with self._scratch.holding(process.space, registers, _PROGRAM_HEADER + len(program), at) as address:
            # With TSYNC the result is the id of a thread that has a filter of its own and so can't be given this one.
            if injection.call("seccomp", 1, seccomp.FLAG_TSYNC, address) == 0:
                return
            injection.call("seccomp", 1, 0, address)

    def _munmap(self, thread: Thread, abi: Abi, registers: Registers) -> None:
        start, length = abi.argument(registers, 0), abi.argument(registers, 1)
        if not thread.space.mappings.overlapping(start, start + length):
            return
        self._finish(thread, registers)
        if abi.result(registers) == 0:
            thread.space.mappings.remove(start, start + -(-length // 4096) * 4096)

    def _mremap(self, thread: Thread, abi: Abi, registers: Registers) -> None:
        old, old_length, new_length = (abi.argument(registers, index) for index in (0, 1, 2))
        mappings = thread.space.mappings
        moved = mappings.overlapping(old, old + max(old_length, 1))
        self._finish(thread, registers)
        start = abi.result(registers)
        if -4095 <= start < 0:
            return
        mappings.remove(old, old + old_length)
        mappings.remove(start, start + new_length)
        if moved:
            first = moved[0]
            mapping = Mapping(start, -(-new_length // 4096) * 4096, first.offset + old - first.start)
            mappings.add(mapping)
            self._protect(thread, [mapping], abi, registers)

    def _mprotect(self, thread: Thread, abi: Abi, registers: Registers) -> None:
        start, length = abi.argument(registers, 0), abi.argument(registers, 1)
        touched = thread.space.mappings.overlapping(start, start + length)
        if not touched:
            return
        self._finish(thread, registers)
        self._protect(thread, touched, abi, registers)
