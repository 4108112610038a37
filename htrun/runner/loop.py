"""The loop: the next stop, what it means, who handles it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.runner.foreign_exec import ForeignExec
from htrun.intercept.guest import Thread
from htrun.intercept.mapping_calls import MappingCalls
from htrun.intercept.masks import Masks
from htrun.intercept.traps import Traps
from htrun.runner.tracees import Tracees
from htrun.tracee import ptrace, stops
from htrun.tracee.abi import abi_of
from htrun.tracee.ptrace import Request, TraceeDied
from htrun.tracee.stops import SEGV_STOPPED, Event
from htrun.tracee.trap_wait import TrapWait
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptrace.binding.linux_struct import user_regs_struct

    from htrun.runner.follow import Follow

_SIGSEGV = SEGV_STOPPED >> 8
_SIGTRAP = 5


class Loop:
    """Runs until the last tracee has ended."""

    def __init__(
        self,
        tracees: Tracees,
        waiter: Waiter,
        *,
        make_traps: Callable[[TrapWait], Traps],
        mapping_calls: MappingCalls,
        masks: Masks,
        foreign_exec: ForeignExec,
        follow: Follow,
    ) -> None:
        self._tracees = tracees
        self._waiter = waiter
        self._make_traps = make_traps
        self._traps: Traps | None = None
        self._trap_wait: TrapWait | None = None
        self._mapping_calls = mapping_calls
        self._masks = masks
        self._foreign_exec = foreign_exec
        self._follow = follow

    def run(self) -> None:
        """Wait and act until no tracee is left but the first process, whose death is held back (`Waiter`)."""
        threads = self._tracees.threads
        while (found := self._waiter.next(threads.keys())) is not None:
            tid, status = found
            try:
                if status == SEGV_STOPPED:
                    self._segv(threads[tid])
                else:
                    self._dispatch(stops.decode(tid, status))
            except TraceeDied:
                # Killed while it was stopped: the wait status of its death is still to come.
                continue

    def _segv(self, thread: Thread) -> None:
        if not thread.process.space.mappings:
            self._deliver(thread, _SIGSEGV)
            return
        if self._traps is None or self._trap_wait is None:
            self._trap_wait = TrapWait(self._registers())
            self._traps = self._make_traps(self._trap_wait)
            self._waiter.expect_traps(self._trap_wait)
        if self._traps.handle(thread):
            self._follow.trapped(thread.tid)
            self._masks.restore(thread, self._trap_wait.registers)
            self._trap_wait.resume_later(thread.tid)
        else:
            self._deliver(thread, _SIGSEGV)

    def _dispatch(self, stop: stops.Stop) -> None:
        match stop:
            case stops.SignalStop(tid, signal):
                self._deliver(self._tracees.threads[tid], signal)
            case stops.GroupStop(tid, _):
                ptrace.request(Request.LISTEN, tid)
            case stops.InterruptStop(tid):
                if self._tracees.appeared(tid):
                    ptrace.request(Request.CONT, tid)
            case stops.SyscallStop(tid):
                self._foreign_exec.failed(self._tracees.threads[tid])
                ptrace.request(Request.CONT, tid)
            case stops.EventStop(tid, event):
                ptrace.request(self._event(tid, event), tid)
            case stops.Exited(tid, _) | stops.Killed(tid, _, _):
                self._tracees.ended(tid, stop)
                for orphan in self._tracees.orphans():
                    ptrace.request(Request.CONT, orphan)

    def _event(self, tid: int, event: Event) -> Request:
        """Act on an event; returns how the thread goes on."""
        match event:
            case Event.FORK | Event.VFORK | Event.CLONE:
                child = ptrace.event_message(tid)
                if self._tracees.created(tid, child):
                    ptrace.request(Request.CONT, child)
            case Event.EXEC:
                self._tracees.executed(tid, ptrace.event_message(tid))
            case Event.EXIT:
                self._tracees.exiting(tid, ptrace.event_message(tid))
            case Event.SECCOMP:
                return self._system_call(self._tracees.threads[tid])
        return Request.CONT

    def _system_call(self, thread: Thread) -> Request:
        """A thread is stopped in front of a call that a filter names."""
        if not self._tracees.launched:
            return Request.CONT
        registers = self._registers()
        ptrace.get_registers(thread.tid, registers)
        abi = abi_of(registers)
        number = registers.orig_rax
        name = next(name for name, value in abi.numbers.items() if value == number)
        match name:
            case "execve" | "execveat":
                if self._foreign_exec.redirect(thread, name, abi, registers):
                    # So as to see it fail, when the registers must be put back.
                    return Request.SYSCALL
            case "rt_sigaction" | "sigaction" | "signal":
                self._masks.action_set(thread, name, abi, registers)
            case "rt_sigprocmask" | "sigprocmask" | "rt_sigreturn" | "sigreturn":
                self._masks.mask_changing(thread, name, abi, registers)
            case _:
                self._mapping_calls.handle(thread, name, abi, registers)
                if self._traps is not None:
                    self._traps.mappings_changed(thread, registers)
        return Request.CONT

    @staticmethod
    def _registers() -> user_regs_struct:
        """An empty register structure. Imported late: a program that maps no channel never needs it."""
        from ptrace.binding.linux_struct import user_regs_struct

        return user_regs_struct()

    def _deliver(self, thread: Thread, signal: int) -> None:
        """Let the thread have its signal. Where a channel is mapped, a thread that enters a handler is stopped once
        more at the handler's first instruction, since its mask matters for later traps (`Masks`)."""
        if self._traps is not None and thread.space.arena is not None:
            if signal == _SIGTRAP and self._traps.met_breakpoint(thread):
                ptrace.request(Request.CONT, thread.tid)
                return
            self._traps.leave_trampoline(thread)
        if thread.entering_handler and signal == _SIGTRAP:
            # The stop behind the frame's set-up is a ptrace_notify(SIGTRAP): no signal, nothing to deliver.
            thread.entering_handler = False
            self._masks.handler_entered(thread)
            ptrace.request(Request.CONT, thread.tid)
        elif thread.process.space.mappings and self._masks.is_caught(thread, signal):
            thread.entering_handler = True
            ptrace.request(Request.SINGLESTEP, thread.tid, 0, signal)
        else:
            ptrace.request(Request.CONT, thread.tid, 0, signal)
