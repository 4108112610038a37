"""Handles stops for signals: traps become events, and the guest's own signals are delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.intercept.guest import StoppedThread
from htrun.tracee.ptrace import Request, TraceeDied
from htrun.tracee.stops import SEGV_STOPPED
from htrun.tracee.undisturbed import Waits

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.hosts.fastpath import TrapWait
    from htrun.intercept.guest import Thread
    from htrun.intercept.mapping_calls import MappingCalls
    from htrun.intercept.masks import Masks
    from htrun.intercept.stopped_call import StoppedCall
    from htrun.intercept.traps import Traps
    from htrun.runner.calls import Calls
    from htrun.runner.follow import Follow
    from htrun.runner.no_calls import NoCalls
    from htrun.tracee.wait import Waiter

_SIGSEGV = SEGV_STOPPED >> 8
_SIGTRAP = 5
_FEW_SIGNALS = 8
"""The first signals of a run are delivered here. The machine code is imported only if there are more signals than
this."""


class SignalStops:
    """Handles stops for signals. The handler of traps is created at the first trap."""

    def __init__(
        self,
        waiter: Waiter,
        *,
        make_wait: Callable[[], TrapWait],
        make_traps: Callable[[TrapWait], Traps],
        mapping_calls: MappingCalls,
        masks: Masks,
        follow: Follow,
        calls: Calls | NoCalls,
        recording_failed: Callable[[Exception], None],
    ) -> None:
        """``make_wait``: creates the machine code that delivers signals and handles known traps without Python.
        ``recording_failed``: called with the error that ends the recording."""
        self.failed = False
        """Whether an error has ended the recording."""
        self._waiter = waiter
        self._make_wait = make_wait
        self._make_traps = make_traps
        self._wait: TrapWait | None = None
        self._traps: Traps | None = None
        self._delivered = 0
        self._mapping_calls = mapping_calls
        self._masks = masks
        self._follow = follow
        self._calls = calls
        self._recording_failed = recording_failed
        self._waits = Waits()

    def forget_traps(self) -> None:
        """Make all known traps invalid, because another stop has happened."""
        if self._wait is not None:
            self._wait.known.forget()

    def let_through(self, thread: Thread) -> None:
        """Let machine code deliver the thread's next signals and handle its changes of the signal mask, unless the
        masks of the thread are followed."""
        if self._wait is not None and not thread.process.masks.followed:
            self._wait.known.let_signals_through(thread.tid)

    def look_at_signals(self) -> None:
        """Deliver the next signal of each thread here, not in machine code."""
        if self._wait is not None:
            self._wait.known.look_at_signals()

    def mappings_changed(self, call: StoppedCall) -> None:
        """Update traps after the guest has unmapped, moved or replaced parts of the channel."""
        if self._traps is not None:
            self._traps.mappings_changed(call.stopped, call.registers)

    def ended(self, tid: int) -> None:
        """Forget a thread that is gone."""
        if self._wait is not None:
            self._wait.known.look_at_signals(tid)
        self._waits.ended(tid)

    def restart_wait(self, stopped: StoppedThread, number: int = 0) -> None:
        """Prepare a thread to continue with the signal ``number``, or with none. If the stop has interrupted a call
        that the signal would not have interrupted without htrun, the call continues."""
        thread = stopped.thread
        self._waits.woken(stopped, number, thread.process.pid, thread.space.memory.read_whole)

    def group_stopped(self, stopped: StoppedThread) -> None:
        """Note that a thread takes part in a group-stop."""
        self._waits.interrupted(stopped)

    def segv(self, stopped: StoppedThread) -> None:
        """Handle a stop for SIGSEGV, which is a trap or the guest's own signal, and resume the thread."""
        if not stopped.thread.process.space.mappings:
            self.deliver(stopped, _SIGSEGV)
            return
        if not self.failed:
            try:
                self._trapped(stopped)
            except TraceeDied:
                raise
            except Exception as error:
                self.failed = True
                self._recording_failed(error)
        if self.failed:
            self._trapped_unrecorded(stopped)

    def _trapped_unrecorded(self, stopped: StoppedThread) -> None:
        """Handle a fault after recording has failed. After the protection of the channel is removed, a store to the
        channel succeeds, whereas a fault that is the guest's own occurs again, and is then delivered."""
        if stopped.thread.space.unrecorded:
            self.deliver(stopped, _SIGSEGV)
            return
        registers = stopped.registers()
        self._mapping_calls.open_control(stopped, registers)
        self._masks.restore(stopped, registers)
        stopped.resume()

    def _trapped(self, stopped: StoppedThread) -> None:
        self.prepare_traps()
        thread, traps = stopped.thread, self._traps
        assert traps is not None
        thread.space.memory.reach_through(thread.tid)
        if not traps.handle(stopped):
            self.forget_traps()
            self.deliver(stopped, _SIGSEGV)
            return
        self._follow.trapped(thread)
        deliver = self._masks.restore(stopped, traps.wait.registers)
        if thread.signals.stepped and not deliver:
            deliver = self._masks.report_step(stopped, traps.wait.registers)
        if self._calls.recording and thread.process.filtered:
            # Return to Python after this trap. The machine code would resume the thread so that it does not stop at its
            # next call, and would handle its next traps without a return to Python.
            self.forget_traps()
            stopped.set_registers(traps.wait.registers)
            self._calls.resume(stopped, Request.CONT, deliver)
        else:
            traps.wait.resume_later(stopped, deliver)

    def prepare_wait(self) -> None:
        """Create the machine code that waits for stops, unless there is one."""
        self._waited_with()

    def prepare_traps(self) -> None:
        """Create the handler of traps, unless there is one."""
        if self._traps is None:
            self._traps = self._make_traps(self._waited_with())

    def _waited_with(self) -> TrapWait:
        """The machine code that waits for stops from now on."""
        if self._wait is None:
            self._wait = self._make_wait()
            self._waiter.expect_traps(self._wait)
        return self._wait

    def deliver(self, stopped: StoppedThread, number: int) -> None:
        """Deliver the signal ``number`` to the thread. If masks are followed, a thread that enters a handler is stopped
        again at the handler's first instruction, since its new mask matters for later traps (`Masks`)."""
        thread = stopped.thread
        self.restart_wait(stopped, number)
        if self._traps is not None and thread.space.arena is not None:
            if number == _SIGTRAP and self._traps.is_step_inside(stopped):
                self._calls.resume(stopped)
                return
            self._traps.leave_trampoline(stopped)
        entering, thread.signals.entering_handler = thread.signals.entering_handler, False
        if entering and number == _SIGTRAP:
            # The stop after the set-up of the handler's frame is a ptrace_notify(SIGTRAP), not a signal to deliver.
            self._masks.handler_entered(stopped)
            self._calls.resume(stopped)
            return
        look = self._masks.must_see_handler(thread, number)
        # A SIGSEGV at the handler's first instruction means that the stack had no room for the handler's frame. The
        # kernel has reset the action so that this signal kills (kernel/signal.c, force_sigsegv). The action must stay
        # like this.
        if number == _SIGSEGV and not entering:
            self._masks.before_fault(stopped)
            if self._wait is not None and self._masks.has_plain_handler(thread):
                self._wait.known.let_faults_through(thread.tid)
            look = self._masks.delivered(thread) or look
        thread.signals.entering_handler = look
        self._delivered += 1
        if self._delivered == _FEW_SIGNALS:
            self._waited_with()
        self.let_through(thread)
        self._calls.resume(stopped, Request.SINGLESTEP if look else Request.CONT, number)
