"""Restores the signal mask and the action for SIGSEGV after a trap.

When a store faults while its thread blocks or ignores SIGSEGV, the kernel unblocks the signal and resets its action to
the default before the tracer sees the stop. The reset action shows that this has happened (`htrun.intercept.actions`).
So htrun need not follow signal masks, except in two cases: two threads may have reset the action at the same time, or
the process ignores the signal. In these cases htrun follows the masks of all threads of the process, by watching
everything that changes a mask: rt_sigprocmask, rt_sigreturn, and the entry of each signal handler. If a site keeps
trapping, htrun only watches for such changes. As long as a thread's mask does not change, the result for one trap of
the thread is valid for the next one (`fastpath.known_traps`).
"""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from htrun.events.warnings import Kind, Warnings
from htrun.intercept.actions import Actions
from htrun.intercept.filters import add_filter
from htrun.intercept.guest import SignalActions, StoppedThread, Thread
from htrun.intercept.scratch import Scratch
from htrun.intercept.stopped_call import StoppedCall
from htrun.tracee import seccomp, stops
from htrun.tracee.inject import Injection
from htrun.tracee.ptrace import SIGINFO_SIZE, TRAP_TRACE
from htrun.tracee.signal_state import SEGV_BIT, SignalState, bit_of, blocks_other_faults, signal_state
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from htrun.hosts.host import Registers


class Masks:
    """Restores the guest's signal mask and the guest's action for SIGSEGV."""

    def __init__(
        self,
        waiter: Waiter,
        scratch: Scratch,
        warnings: Warnings,
        look_at_signals: Callable[[], None],
        recorded: seccomp.RecordedCalls = seccomp.NO_CALLS,
    ) -> None:
        """``look_at_signals``: called when every signal must be inspected from now on. ``recorded``: the recorded
        calls; each filter that is added must stop at these calls, too."""
        self._waiter = waiter
        self._scratch = scratch
        self._warnings = warnings
        self._recorded = recorded
        self._look_at_signals = look_at_signals
        self._actions = Actions(waiter, scratch, warnings)

    # Methods for the initial state of a thread.

    @staticmethod
    def adopt(thread: Thread) -> None:
        """Initialise a thread. The mask of its creator is unknown, and the thread may ignore SIGSEGV."""
        state = signal_state(thread.tid)
        thread.signals.segv_blocked = bool(state.blocked & SEGV_BIT)
        if state.ignored & SEGV_BIT:
            thread.process.actions = SignalActions.ignoring()

    @staticmethod
    def inherit(parent: Thread, child: Thread) -> None:
        """Initialise a new thread. It starts with the mask of its creator."""
        child.signals.segv_blocked = parent.signals.segv_blocked
        # The child may have copied the action just after a trap in another thread had reset it.
        child.process.action_in_doubt = child.process is not parent.process and not is_alone(parent)

    def born(self, stopped: StoppedThread) -> None:
        """At the first stop of a thread that is also the first stop of its process, restore or mark the kernel's
        action."""
        thread, process = stopped.thread, stopped.thread.process
        doubt, process.action_in_doubt = process.action_in_doubt, False
        if not thread.space.mappings or process.filtered:
            return
        if process.actions.is_unmarked_default:
            self._actions.mark_if_default(stopped, stopped.registers())
        elif doubt and signal_state(thread.tid).segv_is_default:
            self._actions.restore(stopped, stopped.registers())

    # Methods for changes of masks and actions.

    def begin(self, stopped: StoppedThread, registers: Registers) -> None:
        """Prepare for traps of a thread. It is stopped with ``registers`` and has mapped a channel."""
        process, space = stopped.thread.process, stopped.thread.space
        if process.masks.followed:
            # All other threads are running, so their masks are read from /proc.
            for other in space.threads:
                other.signals.segv_blocked = bool(signal_state(other.tid).blocked & SEGV_BIT)
        elif process.actions.ignored:
            self._follow_from_here(stopped, registers)
        else:
            self._actions.mark_if_default(stopped, registers)

    def action_called(self, call: StoppedCall) -> None:
        """Handle a thread that is stopped before a call that sets or queries the action for SIGSEGV."""
        self._actions.called(call)
        if call.thread.process.actions.ignored and call.thread.space.mappings:
            self._follow_from_here(call.stopped, call.registers)

    def _follow_from_here(self, stopped: StoppedThread, registers: Registers) -> None:
        thread = stopped.thread
        if not thread.process.masks.followed:
            thread.signals.segv_blocked = bool(stopped.signal_mask() & SEGV_BIT)
            self._follow(stopped, registers)

    @staticmethod
    def mask_changing(call: StoppedCall) -> None:
        """Handle a thread that is stopped before rt_sigprocmask, rt_sigreturn or their older 32-bit forms."""
        thread, memory = call.thread, call.thread.space.memory
        try:
            if call.name == "ssetmask":
                thread.signals.segv_blocked = bool(call.argument(0) & SEGV_BIT)
                return
            if call.name.endswith("return"):
                at = call.registers.sp + call.abi.frame_masks[call.name]
                thread.signals.segv_blocked = bool(memory.read_whole(at, 4)[1] & SEGV_BIT >> 8)
                return
            named = bool(memory.read_whole(call.argument(1), 4)[1] & SEGV_BIT >> 8)
        except OSError:
            return
        match call.argument(0):
            case 0:
                thread.signals.segv_blocked = thread.signals.segv_blocked or named
            case 1:
                thread.signals.segv_blocked = thread.signals.segv_blocked and not named
            case 2:
                thread.signals.segv_blocked = named

    @staticmethod
    def must_see_handler(thread: Thread, number: int) -> bool:
        """Whether a thread that is about to get signal ``number`` must be stopped at the first instruction of the
        handler, because htrun follows the masks of its process."""
        if not thread.process.masks.followed or not thread.space.mappings:
            return False
        return bool(signal_state(thread.tid).caught & bit_of(number))

    def handler_entered(self, stopped: StoppedThread) -> None:
        """Handle a thread that was resumed to be stopped at the first instruction of a signal handler. The thread is
        there now, or it has continued without a handler."""
        thread = stopped.thread
        if thread.process.masks.followed:
            thread.signals.segv_blocked = bool(stopped.signal_mask() & SEGV_BIT)
        self._actions.mark_if_default(stopped, stopped.registers())

    def watch(self, stopped: StoppedThread, registers: Registers) -> None:
        """Install the filter that stops each thread of this process before the thread changes its mask. ``stopped`` is
        stopped with ``registers``."""
        process, space = stopped.thread.process, stopped.thread.space
        if process.masks.watched or process.masks.hidden or process.filtered or space.abi is None:
            return
        try:
            with Injection(stopped, self._waiter, space.abi, space.syscall_instruction, registers) as injection:
                program = seccomp.mask_filter(self._recorded)
                add_filter(injection, self._scratch, space, space.abi, registers, program)
        except OSError as error:
            # Without the filter, Python must inspect every trap. The reset action shows whether the thread blocks
            # SIGSEGV, unless two threads trap at the same time.
            process.masks.hidden = str(error.strerror)
        else:
            process.masks.watched = True

    def _follow(self, stopped: StoppedThread, registers: Registers) -> None:
        """From now on, follow which threads of this process block SIGSEGV. For the thread ``stopped``, which is stopped
        with ``registers``, this is already known."""
        thread = stopped.thread
        process, space = thread.process, thread.space
        self.watch(stopped, registers)
        if process.masks.hidden:
            self._warnings.warn(
                Kind.INJECTION,
                process.pid,
                f"process {process.pid} forbids htrun to follow its signal masks ({process.masks.hidden}): a thread "
                "that emits while it blocks SIGSEGV may find it unblocked",
            )
        if process.masks.followed or not process.masks.watched:
            return
        process.masks.followed = True
        self._look_at_signals()
        was_reset = signal_state(thread.tid).segv_is_default and not process.actions.is_unmarked_default
        for other in space.threads:
            if other.process is process and other is not thread:
                state = signal_state(other.tid)
                was_unblocked = was_reset and self._faults(other, state) and blocks_other_faults(state.blocked)
                other.signals.segv_blocked = was_unblocked or bool(state.blocked & SEGV_BIT)

    # Methods for traps, and for faults that are the guest's own.

    def look(self, thread: Thread) -> None:
        """Find out whether a thread blocks SIGSEGV. The thread's store has trapped."""
        process = thread.process
        if process.masks.followed:
            return
        state = signal_state(thread.tid)
        if not state.segv_is_default:
            thread.signals.segv_blocked = False
        elif process.actions.ignored or process.actions.is_unmarked_default:
            # The action is the default in any case. So only the other blocked signals of the thread indicate whether it
            # blocks SIGSEGV.
            thread.signals.segv_blocked = blocks_other_faults(state.blocked)
        else:
            thread.signals.segv_blocked = self._has_reset(thread, state.blocked)

    def _has_reset(self, thread: Thread, mask: int) -> bool:
        """Whether a fault of this thread, which now has ``mask``, has reset the action. If several threads have faulted
        at the same time, only the other blocked signals of each thread indicate which thread has reset the action."""
        if blocks_other_faults(mask):
            return True
        states = ((other, signal_state(other.tid)) for other in _sharers(thread))
        return not any(blocks_other_faults(state.blocked) and self._faults(other, state) for other, state in states)

    def _faults(self, thread: Thread, state: SignalState) -> bool:
        """Whether the thread is stopped for a SIGSEGV, or is about to be."""
        return bool(state.pending & SEGV_BIT) or self._waiter.stands_at(thread.tid, stops.SEGV_STOPPED)

    def restore(self, stopped: StoppedThread, registers: Registers) -> int:
        """Restore the mask and the action that the kernel changed when the thread's store trapped. Returns the signal
        with which the thread must continue. ``registers``: the registers with which the thread will continue."""
        thread = stopped.thread
        actions = thread.process.actions
        if not thread.signals.segv_blocked and not actions.ignored:
            self._actions.mark_if_default(stopped, registers)
            return 0
        if thread.signals.segv_blocked and not is_alone(thread):
            self._follow(stopped, registers)
        self._actions.restore(stopped, registers)
        if not thread.signals.segv_blocked:
            return 0
        swallowed, thread.signals.swallowed = thread.signals.swallowed, None
        if swallowed is not None:
            stopped.set_registers(registers)
            self._actions.stop_again(stopped, swallowed)
        stopped.set_signal_mask(stopped.signal_mask() | SEGV_BIT)
        # A blocked signal that the tracer lets through becomes pending (kernel/signal.c, ptrace_signal).
        return 0 if swallowed is None else signal.SIGSEGV

    def report_step(self, stopped: StoppedThread, registers: Registers) -> int:
        """Stop a thread for the SIGTRAP of its own single step, if the step was a store that htrun has made for the
        thread. Returns SIGTRAP, or 0 if the thread blocks SIGTRAP. ``registers``: the registers with which the thread
        will continue."""
        stopped.thread.signals.stepped = False
        if stopped.signal_mask() & bit_of(signal.SIGTRAP):
            return 0
        stopped.set_registers(registers)
        info = struct.pack("<iiiiQ", signal.SIGTRAP, 0, TRAP_TRACE, 0, registers.pc)
        self._actions.stop_again(stopped, info.ljust(SIGINFO_SIZE, b"\0"))
        return signal.SIGTRAP

    def before_fault(self, stopped: StoppedThread) -> None:
        """Set the kernel's action to the action that the guest has set, before a SIGSEGV of the guest's own is
        delivered.

        A trap in another thread that blocks SIGSEGV may have reset the action of the whole process. The action is
        restored then, unless the kernel has reset it for this fault.
        """
        thread = stopped.thread
        actions = thread.process.actions
        if actions.ignored or actions.is_unmarked_default or (actions.has_handler and is_alone(thread)):
            return
        is_default = signal_state(thread.tid).segv_is_default
        if actions.marked:
            if not is_default:
                self._actions.make_default(stopped)
            return
        if not is_default:
            return
        info, registers = stopped.signal_info(), stopped.registers()
        if not thread.process.masks.followed:
            thread.signals.segv_blocked = self._has_reset(thread, stopped.signal_mask())
            if not thread.signals.segv_blocked:
                # Read the masks of the other threads now, while the reset action still shows which of them block the
                # signal.
                self._follow(stopped, registers)
        if not thread.signals.segv_blocked:
            self._actions.restore(stopped, registers)
            self._actions.stop_again(stopped, info)

    @staticmethod
    def has_plain_handler(thread: Thread) -> bool:
        """Whether faults of the thread's own can be delivered to a handler without any action by htrun."""
        actions = thread.process.actions
        return actions.has_handler and not actions.reset_by_delivery and not thread.process.masks.followed

    @staticmethod
    def delivered(thread: Thread) -> bool:
        """Note that a SIGSEGV is delivered to the thread. Returns whether the thread must be stopped at the first
        instruction of its handler, because the kernel removes this handler (SA_RESETHAND)."""
        actions = thread.process.actions
        if not actions.reset_by_delivery:
            return False
        actions.handler_taken()
        return bool(thread.space.mappings)


def is_alone(thread: Thread) -> bool:
    """Whether no other thread can change the signal actions of this thread."""
    return next(_sharers(thread), None) is None


def _sharers(thread: Thread) -> Iterator[Thread]:
    """The other threads that have the same signal actions. They also share the memory (clone(2), CLONE_SIGHAND)."""
    actions = thread.process.actions
    for other in thread.space.threads:
        if other is not thread and other.process.actions is actions and not other.exiting:
            yield other
