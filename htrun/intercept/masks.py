"""Putting SIGSEGV's mask and disposition back after a trap.

When a store faults while its thread blocks or ignores SIGSEGV, the kernel unblocks the signal and resets its action to
the default before the tracer sees the stop (kernel/signal.c, force_sig_info_to_task), and nothing tells afterwards how
it was. So both are followed: the action through the rt_sigaction calls the first filter stops at, the mask, once a
process has mapped a channel, through its changes: rt_sigprocmask, rt_sigreturn, and the entry of each signal handler.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from htrun.events.warnings import Kind, Warnings
from htrun.intercept.guest import AddressSpace, SignalActions, Thread
from htrun.intercept.scratch import Scratch
from htrun.tracee import ptrace, stops
from htrun.tracee.abi import Abi
from htrun.tracee.inject import Injection
from htrun.tracee.ptrace import Request
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from htrun.tracee.registers import Registers

_SEGV_BIT = 1 << (signal.SIGSEGV - 1)
_SIGACTION_SIZE = {64: 32, 32: 20}

# Where a signal frame keeps the mask to be restored, from the stack pointer that (rt_)sigreturn is called with:
# struct rt_sigframe and struct sigframe_ia32 (arch/x86/include/asm/sigframe.h), behind the popped return address.
_FRAME_MASK = {(64, "rt_sigreturn"): 296, (32, "rt_sigreturn"): 264, (32, "sigreturn"): 84}


def _status_mask(tid: int, name: str) -> int:
    """A signal mask of /proc/TID/status (proc_pid_status(5)); 0 when the thread is gone: its wait status will tell."""
    try:
        with open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1], 16) for line in status if line.startswith(name)), 0)
    except OSError:
        return 0


class Masks:
    """Follows and restores what the guest has set up for SIGSEGV."""

    def __init__(self, waiter: Waiter, scratch: Scratch, warnings: Warnings) -> None:
        self._waiter = waiter
        self._scratch = scratch
        self._warnings = warnings

    @staticmethod
    def is_caught(thread: Thread, number: int) -> bool:
        """Whether the process has a handler for signal ``number``."""
        return bool(_status_mask(thread.tid, "SigCgt:") >> (number - 1) & 1)

    @staticmethod
    def begin(space: AddressSpace) -> None:
        """A channel was mapped: note which masks the threads have now. All but one are running, so /proc is asked."""
        for thread in space.threads:
            thread.segv_blocked = bool(_status_mask(thread.tid, "SigBlk:") & _SEGV_BIT)

    @staticmethod
    def adopt(thread: Thread) -> None:
        """A thread begins whose creator's mask is not known, with SIGSEGV ignored perhaps."""
        thread.segv_blocked = bool(_status_mask(thread.tid, "SigBlk:") & _SEGV_BIT)
        if _status_mask(thread.tid, "SigIgn:") & _SEGV_BIT:
            thread.process.actions = SignalActions.ignoring()

    @staticmethod
    def inherit(parent: Thread, child: Thread) -> None:
        """A new thread starts with its creator's mask."""
        child.segv_blocked = parent.segv_blocked

    @staticmethod
    def action_set(thread: Thread, name: str, abi: Abi, registers: Registers) -> None:
        """The thread is about to set SIGSEGV's action."""
        memory = thread.space.memory
        try:
            if name == "signal":
                raw = abi.argument(registers, 1).to_bytes(4, "little").ljust(_SIGACTION_SIZE[32], b"\0")
            elif name == "sigaction":
                old = memory.read_whole(abi.argument(registers, 1), 16)
                raw = old[0:4] + old[8:16] + old[4:8] + b"\0\0\0\0"
            else:
                raw = memory.read_whole(abi.argument(registers, 1), _SIGACTION_SIZE[abi.bits])
        except OSError:
            return
        handler = int.from_bytes(raw[: abi.word], "little")
        thread.process.actions.segv = None if handler == 0 else raw
        thread.process.actions.segv_ignored = handler == 1

    @staticmethod
    def mask_changing(thread: Thread, name: str, abi: Abi, registers: Registers) -> None:
        """The thread is about to call rt_sigprocmask, rt_sigreturn or their 32-bit forefathers."""
        memory = thread.space.memory
        try:
            if name.endswith("return"):
                at = registers.rsp + _FRAME_MASK[abi.bits, name]
                thread.segv_blocked = bool(memory.read_whole(at, 4)[1] & _SEGV_BIT >> 8)
                return
            named = bool(memory.read_whole(abi.argument(registers, 1), 4)[1] & _SEGV_BIT >> 8)
        except OSError:
            return
        match abi.argument(registers, 0):
            case 0:
                thread.segv_blocked = thread.segv_blocked or named
            case 1:
                thread.segv_blocked = thread.segv_blocked and not named
            case 2:
                thread.segv_blocked = named

    @staticmethod
    def handler_entered(thread: Thread) -> None:
        """The thread stands at the first instruction of a signal handler (or went on without one)."""
        thread.segv_blocked = bool(ptrace.signal_mask(thread.tid) & _SEGV_BIT)

    def restore(self, thread: Thread, registers: Registers) -> None:
        """Put back what the kernel took away when the thread's store trapped; it will go on with ``registers``."""
        actions = thread.process.actions
        if thread.segv_blocked or actions.segv_ignored:
            if actions.segv is not None:
                self._restore_action(thread, actions.segv, registers)
            if thread.segv_blocked:
                ptrace.set_signal_mask(thread.tid, ptrace.signal_mask(thread.tid) | _SEGV_BIT)

    def restore_before_fault(self, thread: Thread) -> None:
        """The thread is about to get a SIGSEGV of its own.

        A trap in another thread that blocks the signal, in a handler say, may just have reset the action for the whole
        process. It is put back now, so that this thread finds its handler, unless the kernel would have reset it for
        this fault as well.
        """
        actions = thread.process.actions
        lost = actions.segv is not None and not actions.segv_ignored and not self.is_caught(thread, signal.SIGSEGV)
        if not lost or thread.segv_blocked:
            return
        from htrun.tracee.registers import Registers

        info = ptrace.signal_info(thread.tid)
        registers = Registers()
        ptrace.get_registers(thread.tid, registers)
        assert actions.segv is not None
        self._restore_action(thread, actions.segv, registers)
        # The call has ended the signal's stop. A signal sent by a tracer makes another, before any instruction is run.
        ptrace.request(Request.CONT, thread.tid, 0, signal.SIGSEGV)
        while not isinstance(stop := self._waiter.next_of(thread.tid), stops.SignalStop):
            if not isinstance(stop, stops.GroupStop | stops.InterruptStop):
                raise ptrace.TraceeDied(thread.tid)
            ptrace.request(Request.CONT, thread.tid)
        ptrace.set_signal_info(thread.tid, info)

    def _restore_action(self, thread: Thread, action: bytes, registers: Registers) -> None:
        space, pid = thread.space, thread.process.pid
        try:
            if thread.process.filtered:
                raise PermissionError(1, "it has a seccomp filter of its own")
            assert space.abi is not None
            with (
                self._scratch.holding(space, registers, len(action), lambda _: action) as address,
                Injection(thread.tid, self._waiter, space.abi, space.syscall_instruction, registers) as injection,
            ):
                injection.call("rt_sigaction", signal.SIGSEGV, address, 0, 8)
        except OSError as error:
            self._warnings.warn(
                Kind.INJECTION,
                pid,
                f"process {pid} emits while it ignores or blocks SIGSEGV, whose action the kernel then resets and "
                f"htrun could not restore ({error.strerror})",
            )
