"""The main loop of the tracer: waits for the next stop, decodes it, and calls its handler."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from htrun import hosts
from htrun.intercept.guest import StoppedThread, Thread
from htrun.intercept.stopped_call import StoppedCall
from htrun.runner.tracees import Tracees
from htrun.tracee import seccomp, stops
from htrun.tracee.ptrace import Request, TraceeDied
from htrun.tracee.stopped import Stopped
from htrun.tracee.stops import SEGV_STOPPED, PtraceEvent
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.hosts.calls import Abi
    from htrun.intercept.masks import Masks
    from htrun.runner.afterwards import Afterwards
    from htrun.runner.calls import Calls
    from htrun.runner.ending import Ending
    from htrun.runner.follow import Follow
    from htrun.runner.foreign_exec import ForeignExec
    from htrun.runner.no_calls import NoCalls
    from htrun.runner.preparation import Preparation
    from htrun.runner.signal_stops import SignalStops
    from htrun.runner.system_calls import SystemCalls
    from htrun.tracee.first_process import FirstProcess

_ENOSYS = 38


class Loop:
    """Runs until the last tracee has ended."""

    def __init__(
        self,
        first: FirstProcess,
        tracees: Tracees,
        waiter: Waiter,
        *,
        ending: Ending,
        signals: SignalStops,
        system_calls: SystemCalls,
        masks: Masks,
        foreign_exec: ForeignExec,
        follow: Follow,
        calls: Calls | NoCalls,
        executed: Callable[[int], None],
        preparation: Preparation,
        afterwards: Afterwards,
    ) -> None:
        """``executed``: called with the id of each process that has started a program. ``preparation``: the steps to
        make while no tracee has a stop. ``afterwards``: what the handlers of stops leave until the tracee runs
        again."""
        self._afterwards = afterwards
        self._preparation = preparation
        self._first = first
        self._tracees = tracees
        self._waiter = waiter
        self._ending = ending
        self._signals = signals
        self._system_calls = system_calls
        self._masks = masks
        self._foreign_exec = foreign_exec
        self._follow = follow
        self._calls = calls
        self._program_began = executed

    def run(self) -> None:
        """Wait for stops and handle them until all tracees are gone, except the first process, whose death is delayed
        (`FirstProcess`)."""
        threads, ending, signals = self._tracees.threads, self._ending, self._signals
        while (found := self._next()) is not None:
            tid, status = found
            thread = threads.get(tid)
            try:
                if status != SEGV_STOPPED:
                    signals.forget_traps()
                if ending.asked:
                    ending.stopped(stops.decode(tid, status))
                elif thread is None:
                    self._stranger(stops.decode(tid, status))
                elif status == SEGV_STOPPED:
                    signals.segv(StoppedThread(thread))
                else:
                    self._dispatch(thread, stops.decode(tid, status))
            except TraceeDied:
                # The thread was killed while it was stopped. Its wait status will report the death.
                pass
            if ending.asked:
                ending.stop_handled()
            self._afterwards.do()
        self._first.settle()

    def _next(self) -> tuple[int, int] | None:
        """The next ``(tid, wait status)``, as `Waiter.next` returns it."""
        while self._preparation.is_due() and self._waiter.is_idle():
            self._preparation.step()
        return self._waiter.next(self._tracees)

    def _stranger(self, stop: stops.Stop) -> None:
        """Handle a stop of a thread that no event has reported yet. If the thread is dying, it is not registered."""
        match stop:
            case stops.Exited(tid, _) | stops.Killed(tid, _):
                self._tracees.stranger_ended(tid)
            case stops.EventStop(tid, PtraceEvent.EXIT):
                self._tracees.stranger_ended(tid)
                Stopped(tid).resume()
            case _:
                self._tracees.stranger_stopped(stop)

    def _dispatch(self, thread: Thread, stop: stops.Stop) -> None:
        """Act on a stop of a known thread and resume the thread, or act on its death."""
        if isinstance(stop, stops.Exited | stops.Killed):
            self._ended(thread, stop)
            return
        stopped = StoppedThread(thread)
        match stop:
            case stops.SignalStop(_, number):
                self._signals.deliver(stopped, number)
            case stops.GroupStop():
                self._tracees.born(stopped)
                self._signals.group_stopped(stopped)
                stopped.listen()
            case stops.InterruptStop():
                self._tracees.born(stopped)
                self._masks.born(stopped)
                self._signals.restart_wait(stopped)
                self._calls.resume(stopped)
            case stops.SyscallStop():
                self._calls.returned(stopped)
                self._foreign_exec.returned(stopped)
                self._calls.resume(stopped)
            case stops.EventStop(_, event):
                self._calls.resume(stopped, self._event(stopped, event))

    def _ended(self, thread: Thread, how: stops.Exited | stops.Killed) -> None:
        for gone in self._tracees.ended(thread, how):
            self._follow.ended(gone.tid)
            self._signals.ended(gone.tid)
        for first_stop in self._tracees.orphans(thread):
            self._begin(first_stop)

    def _begin(self, first_stop: stops.Stop) -> None:
        """Resume a thread that has waited at its first stop until it was registered. It may have been killed
        meanwhile."""
        with suppress(TraceeDied):
            self._dispatch(self._tracees.threads[first_stop.tid], first_stop)

    def _event(self, stopped: StoppedThread, event: PtraceEvent) -> Request:
        """Act on a ptrace event. Returns the request with which the thread must be resumed."""
        match event:
            case PtraceEvent.FORK | PtraceEvent.VFORK | PtraceEvent.CLONE:
                self._created(stopped, stopped.event_message())
            case PtraceEvent.EXEC:
                self._executed(stopped.tid, stopped.event_message())
            case PtraceEvent.EXIT:
                status = stopped.event_message()
                for child in self._tracees.unreported_children(stopped, status):
                    self._created(stopped, child)
                self._tracees.exiting(stopped.thread, status)
            case PtraceEvent.SECCOMP:
                return self._filtered(stopped)
        return Request.CONT

    def _created(self, creator: StoppedThread, child: int) -> None:
        self._follow.created(creator.thread.tid, child)
        first_stop = self._tracees.created(creator, child)
        if first_stop is not None:
            self._begin(first_stop)

    def _executed(self, tid: int, former: int) -> None:
        self._foreign_exec.done(self._tracees.threads.get(former) or self._tracees.threads[tid])
        self._follow.moved(former, tid)
        self._calls.executed(former, tid, lambda: self._tracees.executed(tid, former))
        self._program_began(tid)
        self._calls.wait_with(self._waiter)

    def _filtered(self, stopped: StoppedThread) -> Request:
        """Handle a call that a seccomp filter has stopped. The filter is htrun's, or it is the guest's and requires a
        tracer."""
        asked = stopped.filtered_call()
        abi, name = hosts.current().call_name(asked.audit_arch, asked.number)
        recorded = asked.data in {seccomp.RECORDED, seccomp.WATCHED_AND_RECORDED}
        if not recorded and asked.data not in {seccomp.WATCHED, seccomp.MASK}:
            # The guest must see no tracer. If there is no tracer, the kernel does not make this call (seccomp(2)).
            self._calls.refused(stopped, abi, asked.number)
            self._refuse(stopped)
            return Request.CONT
        if recorded:
            self._record(stopped, name)
        if not self._first.launched or name is None or asked.data == seccomp.RECORDED:
            return Request.CONT
        request = self._handle(stopped, name, abi)
        if recorded:
            self._calls.made(stopped)
        return request

    def _record(self, stopped: StoppedThread, name: str | None) -> None:
        """Record a call before which a thread is stopped. Calls that htrun makes before the program runs are not
        recorded."""
        if self._first.launched:
            self._calls.entered(stopped)
        elif name == "execve":
            self._calls.launching(stopped)

    @staticmethod
    def _refuse(stopped: StoppedThread) -> None:
        registers = stopped.registers()
        registers.result = -_ENOSYS & (1 << 64) - 1
        registers.skip_call()
        stopped.set_registers(registers)

    def _handle(self, stopped: StoppedThread, name: str, abi: Abi) -> Request:
        """Handle a call that htrun's filters name. The thread is stopped before the call."""
        stopped.thread.process.space.memory.reach_through(stopped.tid)
        return self._system_calls.handle(StoppedCall(stopped, name, abi, stopped.registers()))
