"""The loop: the next stop, what it means, who handles it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from htrun import hosts
from htrun.intercept.guest import Thread
from htrun.intercept.mapping_calls import MappingCalls
from htrun.intercept.masks import Masks
from htrun.runner.foreign_exec import ForeignExec
from htrun.runner.second_tracers import SecondTracers
from htrun.runner.tracees import Tracees
from htrun.tracee import ptrace, seccomp, stops
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.ptrace import Request, TraceeDied
from htrun.tracee.stops import SEGV_STOPPED, Event
from htrun.tracee.undisturbed import Waits
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.hosts.calls import Abi
    from htrun.hosts.fastpath import TrapWait
    from htrun.hosts.host import Registers
    from htrun.intercept.traps import Traps
    from htrun.runner.calls import Calls
    from htrun.runner.ending import Ending
    from htrun.runner.follow import Follow

_SIGSEGV = SEGV_STOPPED >> 8
_SIGTRAP = 5
_ENOSYS = 38
_MODE_FILTER = {"seccomp": (0, 1), "prctl": (1, 2)}
"""Which argument of the call says that a filter follows, and how: SECCOMP_SET_MODE_FILTER, SECCOMP_MODE_FILTER."""


class Loop:
    """Runs until the last tracee has ended."""

    def __init__(
        self,
        first: FirstProcess,
        tracees: Tracees,
        waiter: Waiter,
        *,
        ending: Ending,
        make_traps: Callable[[], Traps],
        mapping_calls: MappingCalls,
        masks: Masks,
        foreign_exec: ForeignExec,
        follow: Follow,
        second_tracers: SecondTracers,
        recording_failed: Callable[[Exception], None],
        executed: Callable[[int], None],
        calls: Calls | None = None,
    ) -> None:
        """``recording_failed``: gets the error that ends the recording; ``executed``: gets the id of a process that
        has begun a program; ``calls``: None where neither system calls nor the lives of threads are recorded."""
        self._first = first
        self._ending = ending
        self._tracees = tracees
        self._waiter = waiter
        self._make_traps = make_traps
        self._traps: Traps | None = None
        self._mapping_calls = mapping_calls
        self._masks = masks
        self._foreign_exec = foreign_exec
        self._follow = follow
        self._second_tracers = second_tracers
        self._recording_failed = recording_failed
        self._program_began = executed
        self._failed = False
        self._calls = calls
        self._waits = Waits()

    def run(self) -> None:
        """Wait and act until no tracee is left but the first process, whose death is held (`FirstProcess`)."""
        threads, ending = self._tracees.threads, self._ending
        while (found := self._waiter.next(self._tracees)) is not None:
            tid, status = found
            thread = threads.get(tid)
            try:
                if status != SEGV_STOPPED:
                    self._forget_traps()
                if ending.asked:
                    ending.stopped(stops.decode(tid, status))
                elif thread is None:
                    self._stranger(stops.decode(tid, status))
                elif status == SEGV_STOPPED:
                    self._segv(thread)
                else:
                    self._dispatch(thread, stops.decode(tid, status))
            except TraceeDied:
                # Killed while it was stopped: the wait status of its death is still to come.
                pass
            if ending.asked:
                ending.stop_handled()
        self._first.settle()

    def _segv(self, thread: Thread) -> None:
        if not thread.process.space.mappings:
            self._deliver(thread, _SIGSEGV)
            return
        if not self._failed:
            try:
                self._trapped(thread)
            except TraceeDied:
                raise
            except Exception as error:
                self._failed = True
                self._recording_failed(error)
        if self._failed:
            self._trapped_unrecorded(thread)

    def _trapped_unrecorded(self, thread: Thread) -> None:
        """A fault after recording has failed. If it is a store to the channel, then once the memory it is in lets that
        happen there are no more; if it is the guest's own it comes again."""
        if thread.space.unrecorded:
            self._deliver(thread, _SIGSEGV)
            return
        registers = ptrace.registers_of(thread.tid)
        self._mapping_calls.open_control(thread, registers)
        self._masks.restore(thread, registers)
        ptrace.request(Request.CONT, thread.tid)

    def _trapped(self, thread: Thread) -> None:
        if self._traps is None:
            self._traps = self._make_traps()
            self._waiter.expect_traps(self._traps.wait)
        thread.space.memory.reach_through(thread.tid)
        if self._traps.handle(thread):
            self._follow.trapped(thread)
            deliver = self._masks.restore(thread, self._traps.wait.registers)
            if thread.signals.stepped and not deliver:
                deliver = self._masks.tell_of_step(thread, self._traps.wait.registers)
            self._resume_trapped(thread, self._traps.wait, deliver)
        else:
            self._forget_traps()
            self._deliver(thread, _SIGSEGV)

    def _resume_trapped(self, thread: Thread, wait: TrapWait, deliver: int) -> None:
        if self._calls is None or not thread.process.filtered:
            wait.resume_later(thread.tid, deliver)
            return
        # The machine code would let it go on without a stop at the next call, and deal with further traps alone.
        self._forget_traps()
        ptrace.set_registers(thread.tid, wait.registers)
        self._resume(thread.tid, Request.CONT, deliver)

    def _forget_traps(self) -> None:
        """Something else than a trap has happened."""
        if self._traps is not None:
            self._traps.wait.known.forget()

    def _stranger(self, stop: stops.Stop) -> None:
        """Something of a thread that its creator has not told of yet. If it is dying, nobody needs to know it."""
        match stop:
            case stops.Exited(tid, _) | stops.Killed(tid, _):
                self._tracees.stranger_ended(tid)
            case stops.EventStop(tid, Event.EXIT):
                self._tracees.stranger_ended(tid)
                ptrace.request(Request.CONT, tid)
            case _:
                self._tracees.stranger_stopped(stop)

    def _dispatch(self, thread: Thread, stop: stops.Stop) -> None:
        match stop:
            case stops.SignalStop(_, number):
                self._deliver(thread, number)
            case stops.GroupStop(tid, _):
                self._tracees.born(thread)
                self._waits.stopped(tid)
                ptrace.request(Request.LISTEN, tid)
            case stops.InterruptStop(tid):
                self._tracees.born(thread)
                self._masks.born(thread)
                self._restart_wait(thread, 0)
                self._resume(tid, Request.CONT)
            case stops.SyscallStop(tid):
                if self._calls is not None:
                    self._calls.returned(thread)
                self._foreign_exec.failed(thread)
                self._resume(tid, Request.CONT)
            case stops.EventStop(tid, event):
                self._resume(tid, self._event(thread, event))
            case stops.Exited() | stops.Killed():
                for gone in self._tracees.ended(thread, stop):
                    self._follow.ended(gone.tid)
                    if self._traps is not None:
                        self._traps.wait.known.look_at_signals(gone.tid)
                    self._waits.ended(gone.tid)
                for first_stop in self._tracees.orphans(thread):
                    self._begin(first_stop)

    def _begin(self, first_stop: stops.Stop) -> None:
        """A thread that has waited at its first stop is known now. It may have been killed meanwhile."""
        with suppress(TraceeDied):
            self._dispatch(self._tracees.threads[first_stop.tid], first_stop)

    def _resume(self, tid: int, request: Request, number: int = 0) -> None:
        """Let a thread go on that may be within a call whose return is recorded, with the signal ``number``."""
        if self._calls is not None:
            request = self._calls.resume(self._tracees.threads.get(tid), tid, request)
        ptrace.request(request, tid, 0, number)

    def _event(self, thread: Thread, event: Event) -> Request:
        """Act on an event; returns how the thread goes on."""
        match event:
            case Event.FORK | Event.VFORK | Event.CLONE:
                self._created(thread, ptrace.event_message(thread.tid))
            case Event.EXEC:
                self._executed(thread.tid, ptrace.event_message(thread.tid))
            case Event.EXIT:
                status = ptrace.event_message(thread.tid)
                for child in self._tracees.untold_children(thread, status):
                    self._created(thread, child)
                self._tracees.exiting(thread, status)
            case Event.SECCOMP:
                return self._filtered(thread)
        return Request.CONT

    def _created(self, creator: Thread, child: int) -> None:
        self._follow.created(creator.tid, child)
        first_stop = self._tracees.created(creator, child)
        if first_stop is not None:
            self._begin(first_stop)

    def _filtered(self, thread: Thread) -> Request:
        """A seccomp filter has stopped a call: one of htrun's, or one of the guest's own that asks for a tracer."""
        call = ptrace.filtered_call(thread.tid)
        abi, name = hosts.current().call_name(call.audit_arch, call.number)
        recorded = call.data in {seccomp.RECORDED, seccomp.WATCHED_AND_RECORDED}
        if not recorded and call.data not in {seccomp.WATCHED, seccomp.MASK}:
            # There is none as far as the guest is concerned: then the call is not made (seccomp(2)).
            if self._calls is not None:
                self._calls.refused(thread, abi, call.number)
            self._refuse(thread)
            return Request.CONT
        if recorded and self._calls is not None:
            self._record(thread, name, self._calls)
        if not self._first.launched or name is None or call.data == seccomp.RECORDED:
            return Request.CONT
        request = self._system_call(thread, name, abi)
        if recorded and self._calls is not None:
            self._calls.made(thread)
        return request

    def _record(self, thread: Thread, name: str | None, calls: Calls) -> None:
        """A thread is in front of a call that is to be recorded, unless it is htrun's own before the program runs."""
        if self._first.launched:
            calls.entered(thread)
        elif name == "execve":
            calls.launching(thread)

    def _executed(self, tid: int, former: int) -> None:
        self._foreign_exec.done(self._tracees.threads.get(former) or self._tracees.threads[tid])
        self._follow.moved(former, tid)
        self._program_began(tid)
        if self._calls is None:
            self._tracees.executed(tid, former)
            return
        self._calls.executed(former, tid, lambda: self._tracees.executed(tid, former))
        self._waiter.record_calls(self._calls.wait)

    def _refuse(self, thread: Thread) -> None:
        registers = ptrace.registers_of(thread.tid)
        registers.result = -_ENOSYS & (1 << 64) - 1
        registers.skip_call()
        ptrace.set_registers(thread.tid, registers)

    def _system_call(self, thread: Thread, name: str, abi: Abi) -> Request:
        """A thread is stopped in front of a call that htrun's filters name."""
        thread.process.space.memory.reach_through(thread.tid)
        registers = ptrace.registers_of(thread.tid)
        match name:
            case _ if _would_trace(name, abi, registers):
                self._second_tracers.asked(thread, name, abi, registers)
            case "seccomp" | "prctl":
                if not _asks_only(name, abi, registers):
                    self._filter_added(thread)
            case "sched_setaffinity" | "sched_getaffinity":
                self._follow.processors_asked()
            case "execve" | "execveat":
                if self._foreign_exec.redirect(thread, name, abi, registers):
                    if self._calls is not None:
                        self._calls.watch(thread)
                    # So as to see it fail, when the registers must be put back.
                    return Request.SYSCALL
            case "rt_sigaction" | "sigaction" | "signal":
                self._masks.action_called(thread, name, abi, registers)
            case "rt_sigprocmask" | "sigprocmask" | "ssetmask" | "rt_sigreturn" | "sigreturn":
                self._let_signals_through(thread)
                self._masks.mask_changing(thread, name, abi, registers)
            case _ if self._failed:
                # What is protected anew would trap anew.
                pass
            case _:
                self._mapping_calls.handle(thread, name, abi, registers)
                if self._traps is not None:
                    self._traps.mappings_changed(thread, registers)
        return Request.CONT

    def _filter_added(self, thread: Thread) -> None:
        thread.process.filtered = True
        if self._calls is not None:
            threads = self._tracees.threads.values()
            others = [each for each in threads if each.process is thread.process and each is not thread]
            self._calls.filter_added(thread, others)

    def _restart_wait(self, thread: Thread, number: int) -> None:
        self._waits.woken(thread.tid, number, thread.process.pid, thread.space.memory.read_whole)

    def _deliver(self, thread: Thread, number: int) -> None:
        """Let the thread have its signal. Where masks are followed, a thread that enters a handler is stopped once more
        at the handler's first instruction, since its mask matters for later traps (`Masks`)."""
        self._restart_wait(thread, number)
        if self._traps is not None and thread.space.arena is not None:
            if number == _SIGTRAP and self._traps.is_step_inside(thread):
                self._resume(thread.tid, Request.CONT)
                return
            self._traps.leave_trampoline(thread)
        entering, thread.signals.entering_handler = thread.signals.entering_handler, False
        if entering and number == _SIGTRAP:
            # The stop behind the frame's set-up is a ptrace_notify(SIGTRAP): no signal, nothing to deliver.
            self._masks.handler_entered(thread)
            self._resume(thread.tid, Request.CONT)
            return
        look = self._masks.must_see_handler(thread, number)
        # A SIGSEGV instead of the handler's first instruction: there was no stack for its frame. The kernel has reset
        # the action so that this one kills (kernel/signal.c, force_sigsegv), and so it must stay.
        if number == _SIGSEGV and not entering:
            self._masks.before_fault(thread)
            if self._traps is not None and self._masks.has_plain_handler(thread):
                self._traps.wait.known.let_faults_through(thread.tid)
            look = self._masks.delivered(thread) or look
        thread.signals.entering_handler = look
        self._let_signals_through(thread)
        if look:
            ptrace.request(Request.SINGLESTEP, thread.tid, 0, number)
        else:
            self._resume(thread.tid, Request.CONT, number)

    def _let_signals_through(self, thread: Thread) -> None:
        """Nobody needs to look at the thread's next signals, and at changes of its mask, if that is so."""
        if self._traps is not None and not thread.process.masks.followed:
            self._traps.wait.known.let_signals_through(thread.tid)


def _would_trace(name: str, abi: Abi, registers: Registers) -> bool:
    return name == "ptrace" or (name == "prctl" and abi.argument(registers, 0) & 0xFFFFFFFF == seccomp.PR_SET_PTRACER)


def _asks_only(name: str, abi: Abi, registers: Registers) -> bool:
    """Whether the call is to fail: a filter at no address. So libseccomp learns, in QEMU, what the kernel can do."""
    argument, value = _MODE_FILTER[name]
    return abi.argument(registers, argument) & 0xFFFFFFFF == value and abi.argument(registers, 2) == 0
