"""Handles system calls that make, change or remove mappings of the channel. Seccomp filters stop threads at these
calls.

After a thread has mapped the channel, htrun protects the mapping before the thread continues: the header becomes
read-only, and the control region becomes inaccessible. If the guest is a whole machine, the control region, which holds
zeros, becomes read-only, too, since the emulator would crash on a load that faults. htrun tracks all later changes of a
mapping. If the guest has unmapped, moved or replaced a part, faults in this part belong to the guest. If the guest has
made a part accessible, htrun protects this part again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from htrun.channel import layout
from htrun.channel.file import Channel, Identity
from htrun.events.warnings import Kind, Warnings
from htrun.hosts.calls import Abi
from htrun.intercept.filters import add_filter
from htrun.intercept.guest import AddressSpace, Machine, Mapping, StoppedThread, Thread
from htrun.intercept.mapping_pieces import (
    PAGE,
    PROT_READ,
    PROT_WRITE,
    Mmap,
    control_protection,
    cut,
    map_pieces,
    offset_unit,
    protect_pieces,
    whole_pages,
    words_of,
)
from htrun.intercept.masks import Masks
from htrun.intercept.scratch import Scratch
from htrun.intercept.stopped_call import StoppedCall
from htrun.tracee import seccomp
from htrun.tracee.inject import Injection, call_instruction
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.intercept.ring_maps import RingMaps

_MREMAP_FIXED = 2
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_MOST_FILTERS = 8

ControlsLeave = Callable[[AddressSpace, Injection | None, frozenset[int]], None]


def _no_patches(_space: AddressSpace, _injection: Injection | None, _words: frozenset[int]) -> None:
    """Do nothing: a run without patches has none to remove."""


class MappingCalls:
    """Handles mmap, mremap, munmap and mprotect calls that affect the channel.

    There is a method for each system call. It must be called while the thread is stopped before the system call. When
    the method returns, the thread is stopped, either before or after the system call.
    """

    def __init__(
        self,
        channel: Channel,
        waiter: Waiter,
        masks: Masks,
        warnings: Warnings,
        recorded: seccomp.RecordedCalls = seccomp.NO_CALLS,
        machine_of: Callable[[int], Machine] = lambda _: Machine.NONE,
        controls_leave: ControlsLeave = _no_patches,
        rings_mapped: Callable[[Thread], None] = lambda _: None,
        channel_mapped: Callable[[Thread], None] = lambda _: None,
    ) -> None:
        """``recorded``: the recorded calls; filters that are added must stop at these calls, too. ``machine_of``:
        returns how the process with a given id runs a whole machine. ``controls_leave``: removes the patches for
        control words that the guest is about to unmap. It injects calls if these are allowed. ``rings_mapped``: called
        when a thread maps rings of the channel. ``channel_mapped``: called when a thread has mapped the channel."""
        self._channel_mapped = channel_mapped
        self._rings_mapped = rings_mapped
        self._controls_leave = controls_leave
        self._machine_of = machine_of
        self._filters = seccomp.ChannelFilters(recorded)
        self._channel = channel
        self._waiter = waiter
        self._scratch = Scratch(channel)
        self._masks = masks
        self._warnings = warnings

    def open_control(self, stopped: StoppedThread, registers: Registers) -> None:
        """Make the control region writable in the memory of the thread, so that stores no longer trap and are no longer
        recorded. ``registers``: the thread's registers, which do not change. Raises OSError if this is impossible."""
        thread, space = stopped.thread, stopped.thread.space
        if space.abi is None or thread.process.filtered:
            # Do not inject a call if the process has its own filter, which may kill the thread for the call.
            raise PermissionError(1, f"process {thread.process.pid} has a seccomp filter of its own")
        with Injection(stopped, self._waiter, space.abi, space.syscall_instruction, registers) as injection:
            for mapping in space.mappings:
                low, high = mapping.control
                if low < high:
                    injection.call("mprotect", low, high - low, PROT_READ | PROT_WRITE)
        space.unrecorded = True

    def _run(
        self,
        call: StoppedCall,
        leaving: frozenset[int] = frozenset(),
        instead: Callable[[Injection], int] | None = None,
    ) -> None:
        """Let the thread make the call. ``instead``: a function that makes other calls in the thread, whose result the
        thread gets as the result of its own call.

        ``leaving``: the addresses that will no longer be control words of the channel. Patches for these addresses are
        removed first: another thread may map the freed memory, and stores to it are not events.
        """
        space = call.thread.space
        patched = bool(leaving) and space.arena is not None
        instruction = _instruction(call) if patched or instead is not None else 0
        if instruction:
            call.skip(self._waiter)
            with Injection(call.stopped, self._waiter, call.abi, instruction, call.registers) as injection:
                if patched:
                    self._controls_leave(space, injection, leaving)
                result = _result_of(injection, instead or call.make)
            call.registers.result = result & (1 << 64) - 1
            call.write_registers()
            return
        if patched:
            self._controls_leave(space, None, leaving)
        call.finish(self._waiter)

    def mmap(self, call: StoppedCall) -> None:
        """Handle mmap(2), and the older mmap of i386."""
        thread = call.thread
        try:
            asked = Mmap.of(call, thread.space.memory)
        except OSError:
            # The address is invalid: the kernel will return EFAULT.
            return
        space = thread.space
        memory = self._memory_of(thread, asked.descriptor) if asked.is_shared_file else None
        ours = memory is not None
        if not ours and not space.mappings:
            return
        replaced = space.mappings.overlapping(asked.start, asked.end) if asked.is_fixed else []
        if memory == 0 and self._channel.rings is not None and asked.offset >= self._channel.rings.offset:
            self._rings_mapped(thread)
            if not replaced:
                # The new mapping contains nothing that must be protected.
                return
        if not ours and not replaced and not thread.process.filtered:
            # The kernel chooses free addresses, so the mappings of the channel do not change.
            return
        leaving = words_of(replaced, asked.start, asked.end)
        if ours and replaced:
            if all(other.memory == memory for other in replaced):
                # The same control word stays mapped, and other threads may emit meanwhile, so its patches are kept.
                leaving -= frozenset({asked.mapping.control_word})
            pieces = cut([asked.mapping], asked.start, asked.end, machine=space.machine)
            self._run(call, leaving, lambda injection: map_pieces(injection, call.abi, asked, pieces))
        else:
            self._run(call, leaving)
        start = call.result
        if -4095 <= start < 0:
            return
        if memory is None:
            space.mappings.remove(start, start + asked.length)
            return
        self._channel_mapped(thread)
        mapping = Mapping(start, asked.mapping.length, asked.offset, memory)
        machine = self._machine_of(thread.process.pid)
        space.machine = machine is not Machine.NONE
        if self._has_rings(mapping):
            self._rings_mapped(thread)
        if machine is Machine.VIRTUALIZED:
            # KVM fails on a store to protected memory, and QEMU then kills the machine.
            space.virtualized = True
            return
        space.mappings.add(mapping)
        if thread.process.filtered:
            # The guest's filter may forbid mprotect, but it has just allowed an mmap with these arguments.
            remap = asked.flags | seccomp.MAP_FIXED, asked.descriptor
            self._protect(call, [mapping], remap)
        else:
            self._protect(call, [mapping])

    def _has_rings(self, mapping: Mapping) -> bool:
        """Whether a mapping that begins before the rings also contains rings. This is the memory of a machine's
        device."""
        rings = self._channel.rings
        return rings is not None and mapping.memory == 0 and mapping.offset + mapping.length > rings.offset

    def _memory_of(self, thread: Thread, descriptor: int) -> int | None:
        """The number of the channel's memory that the thread has open as ``descriptor``; None if this is another
        file."""
        try:
            status = os.stat(f"/proc/{thread.tid}/fd/{descriptor}")
        except PermissionError:
            pid = thread.process.pid
            self._warnings.warn(
                Kind.INJECTION,
                pid,
                f"process {pid} cannot be inspected (PR_SET_DUMPABLE, or a program that can't be read): if it "
                "maps the channel, its events are missed",
            )
            return None
        except OSError:
            return None
        return self._channel.memory_of(Identity.of(status))

    def _protect(self, call: StoppedCall, mappings: list[Mapping], remap: tuple[int, int] | None = None) -> None:
        """Protect the mappings, and add a filter that reports the guest's changes to them. The thread is stopped after
        the call.

        ``remap``: the flags and the file descriptor with which the regions are mapped again to set their protection;
        None to use mprotect.
        """
        space, pid = call.thread.space, call.thread.process.pid
        try:
            space.syscall_instruction = call_instruction(space.memory, call.abi, call.registers.pc)
            space.abi = call.abi
            instruction = space.syscall_instruction
            with Injection(call.stopped, self._waiter, call.abi, instruction, call.registers) as injection:
                for mapping in mappings:
                    self._set_protection(injection, call.abi, mapping, mapping.header, PROT_READ, remap)
                    control = control_protection(machine=space.machine)
                    self._set_protection(injection, call.abi, mapping, mapping.control, control, remap)
                    self._guard(injection, call, mapping)
        except OSError as error:
            self._warnings.warn(
                Kind.INJECTION,
                pid,
                f"process {pid} has mapped the channel, but does not permit htrun to protect it ({error}): "
                "its events may be missed",
            )
        self._masks.begin(call.stopped, call.registers)

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
        injection.call("mmap", low, high - low, protection, flags, descriptor, offset // offset_unit(abi))

    def _guard(self, injection: Injection, call: StoppedCall, mapping: Mapping) -> None:
        """Add a filter for the mapping, unless an existing filter covers it.

        If no filter can be added, the channel works, but htrun does not see later changes that the guest makes to the
        mapping.
        """
        process = call.thread.process
        low, high = mapping.part(0, layout.CONTROL_OFFSET + layout.CONTROL_SIZE)
        if low >= high or any(start <= low and high <= end for start, end in process.guarded):
            return
            # Each additional filter makes every system call slower, and the kernel allows at most a few hundred
            # (kernel/seccomp.c, MAX_INSNS_PER_PATH). So a process with many mappings gets a single filter that covers
            # all addresses.
        if len(process.guarded) >= _MOST_FILTERS:
            low, high = 0, 1 << 64
        try:
            if process.filtered:
                raise PermissionError(1, "it has a seccomp filter of its own")
            self._install(injection, call, low, high)
        except OSError as error:
            self._warnings.warn(
                Kind.INJECTION,
                process.pid,
                f"process {process.pid} has mapped the channel, but htrun cannot watch for changes of the mapping "
                f"({error.strerror}): stores after an munmap or mprotect of the control region may not be events",
            )
        # Add the range even if the filter could not be installed, so that htrun does not try again.
        process.guarded.append((low, high))

    def _install(self, injection: Injection, call: StoppedCall, low: int, high: int) -> None:
        process = call.thread.process
        program = self._filters.between(low, high, process=not process.guarded)
        add_filter(injection, self._scratch, process.space, call.abi, call.registers, program)

    def munmap(self, call: StoppedCall) -> None:
        """Handle munmap(2)."""
        start, length = call.argument(0), call.argument(1)
        mappings = call.thread.space.mappings
        left = mappings.overlapping(start, start + length)
        if not left:
            return
        end = start + whole_pages(length)
        self._run(call, words_of(left, start, end))
        if call.result == 0:
            mappings.remove(start, end)

    def mremap(self, call: StoppedCall) -> None:
        """Handle mremap(2)."""
        old, old_length, new_length, flags, new = (call.argument(index) for index in range(5))
        mappings = call.thread.space.mappings
        moved = mappings.overlapping(old, old + max(old_length, 1))
        leaving = words_of(moved, old, old + max(old_length, 1))
        if flags & _MREMAP_FIXED:
            end = new + whole_pages(new_length)
            leaving |= words_of(mappings.overlapping(new, end), new, end)
        self._run(call, leaving)
        start = call.result
        if -4095 <= start < 0:
            return
        mappings.remove(old, old + old_length)
        mappings.remove(start, start + new_length)
        if moved:
            first = moved[0]
            mapping = first._replace(
                start=start, length=whole_pages(new_length), offset=first.offset + old - first.start
            )
            mappings.add(mapping)
            self._protect(call, [mapping])

    def lock_memory(self, call: StoppedCall) -> None:
        """Handle mlockall(2) and munlockall(2), so that the guest does not lock htrun's rings. Rings that are not lent
        to a thread are unmapped before the call: otherwise the kernel would populate them, and would count them against
        the guest's limit. The other rings are unlocked after the call."""
        space, arena = call.thread.space, call.thread.space.arena
        flags = call.argument(0) if call.name == "mlockall" else 0
        if arena is not None and flags & _MCL_CURRENT:
            rings = arena.rings
            self._run(call, instead=lambda injection: _lock_all_but(injection, call, rings, space))
        else:
            call.finish(self._waiter)
        if call.result == 0:
            space.locks_memory = bool(flags & _MCL_FUTURE)

    def mprotect(self, call: StoppedCall) -> None:
        """Handle mprotect(2) and pkey_mprotect(2)."""
        start, length = call.argument(0), call.argument(1)
        end = start + whole_pages(length)
        space = call.thread.space
        touched = space.mappings.overlapping(start, end)
        pieces = cut(touched, start, end, machine=space.machine)
        if start % PAGE or all(piece.protection is None for piece in pieces):
            # The kernel refuses the call, or the call affects only the data region.
            return
        self._run(call, instead=lambda injection: protect_pieces(injection, call, pieces))
        self._protect(call, touched)


def _lock_all_but(injection: Injection, call: StoppedCall, rings: RingMaps, space: AddressSpace) -> int:
    """Make ``call``, an mlockall(2), so that it locks none of ``rings``."""
    lent = {thread.ring.number for thread in space.threads if thread.ring is not None}
    for piece in list(rings.spare(lent)):
        # To unmap the middle of a mapping makes two mappings of it, which may exceed the limit on the number of
        # mappings.
        with suppress(OSError):
            injection.call("munmap", piece.address, piece.length)
            rings.remove(piece)
    result = call.make(injection)
    for piece in rings.pieces:
        # The mapping may be gone, because the guest may have unmapped the rings.
        with suppress(OSError):
            injection.call("munlock", piece.address, piece.length)
    return result


def _instruction(call: StoppedCall) -> int:
    """The address of the instruction that makes ``call``, with which htrun can make further calls. 0 if htrun must not
    make further calls."""
    if call.thread.process.filtered:
        return 0
    try:
        return call_instruction(call.thread.space.memory, call.abi, call.registers.pc)
    except OSError:
        return 0


def _result_of(injection: Injection, make: Callable[[Injection], int]) -> int:
    """The result of ``make``, as the kernel returns it to the thread: an error is a negated errno."""
    try:
        return make(injection)
    except OSError as error:
        return -(error.errno or errno.EINVAL)
