"""Restoring SIGSEGV's mask and action after a trap.

When a store faults while its thread blocks or ignores SIGSEGV, the kernel unblocks the signal and resets its action to
the default before the tracer sees the stop. The action shows this (`htrun.intercept.actions`), so nothing needs
to be followed, as long as no two threads can have done it at the same time, and a process does not ignore the signal.
Otherwise the masks of all threads of a process are followed through their changes: rt_sigprocmask, rt_sigreturn,
and the entry of each signal handler. Where a site keeps trapping, these are only watched: the result for one trap of
a thread holds for its next trap if its mask can't have changed (`fastpath.known_traps`).
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
    """Restores what the guest has set up for SIGSEGV."""

    def __init__(
        self,
        waiter: Waiter,
        scratch: Scratch,
        warnings: Warnings,
        look_at_signals: Callable[[], None],
        recorded: seccomp.RecordedCalls = seccomp.NO_CALLS,
    ) -> None:
        """``look_at_signals``: is called when every signal must be inspected from now on. ``recorded``: the recorded
        calls, which each
        filter must also stop."""
        self._waiter = waiter
        self._scratch = scratch
        self._warnings = warnings
        self._recorded = recorded
        self._look_at_signals = look_at_signals
        self._actions = Actions(waiter, scratch, warnings)

    # What is known of a thread that begins.

    @staticmethod
    def adopt(thread: Thread) -> None:
        """A thread begins. Its creator's mask is unknown, and it may ignore SIGSEGV."""
        state = signal_state(thread.tid)
        thread.signals.segv_blocked = bool(state.blocked & SEGV_BIT)
        if state.ignored & SEGV_BIT:
            thread.process.actions = SignalActions.ignoring()

    @staticmethod
    def inherit(parent: Thread, child: Thread) -> None:
        """A new thread starts with its creator's mask."""
        child.signals.segv_blocked = parent.signals.segv_blocked
        # A trap in another thread may just have reset the action that was copied.
        child.process.action_in_doubt = child.process is not parent.process and not is_alone(parent)

    def born(self, stopped: StoppedThread) -> None:
        """A thread is at its first stop: if it is a process's first, the kernel must have the action it should."""
        thread, process = stopped.thread, stopped.thread.process
        doubt, process.action_in_doubt = process.action_in_doubt, False
        if not thread.space.mappings or process.filtered:
            return
        if process.actions.is_unmarked_default:
            self._actions.mark_if_default(stopped, stopped.registers())
        elif doubt and signal_state(thread.tid).segv_is_default:
            self._actions.restore(stopped, stopped.registers())

    # What changes.

    def begin(self, stopped: StoppedThread, registers: Registers) -> None:
        """The thread, stopped with ``registers``, has mapped a channel."""
        process, space = stopped.thread.process, stopped.thread.space
        if process.masks.followed:
            # All but one are running, so /proc is asked.
            for other in space.threads:
                other.signals.segv_blocked = bool(signal_state(other.tid).blocked & SEGV_BIT)
        elif process.actions.ignored:
            self._follow_from_here(stopped, registers)
        else:
            self._actions.mark_if_default(stopped, registers)

    def action_called(self, call: StoppedCall) -> None:
        """The thread is before a call that sets SIGSEGV's action, or asks for it."""
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
        """The thread is stopped before rt_sigprocmask, rt_sigreturn or their older 32-bit forms."""
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
        """Whether to stop the thread, which is about to get signal ``number``, at the first instruction of its handler,
        since its masks are followed."""
        if not thread.process.masks.followed or not thread.space.mappings:
            return False
        return bool(signal_state(thread.tid).caught & bit_of(number))

    def handler_entered(self, stopped: StoppedThread) -> None:
        """The thread is at the first instruction of a signal handler (or went on without one)."""
        thread = stopped.thread
        if thread.process.masks.followed:
            thread.signals.segv_blocked = bool(stopped.signal_mask() & SEGV_BIT)
        self._actions.mark_if_default(stopped, stopped.registers())

    def watch(self, stopped: StoppedThread, registers: Registers) -> None:
        """From now on no thread of this one's process changes its mask unseen. It is stopped with ``registers``."""
        process, space = stopped.thread.process, stopped.thread.space
        if process.masks.watched or process.masks.hidden or process.filtered or space.abi is None:
            return
        try:
            with Injection(stopped, self._waiter, space.abi, space.syscall_instruction, registers) as injection:
                program = seccomp.mask_filter(self._recorded)
                add_filter(injection, self._scratch, space, space.abi, registers, program)
        except OSError as error:
            # Its traps must then be inspected. The action shows each of them, unless two come at the same time.
            process.masks.hidden = str(error.strerror)
        else:
            process.masks.watched = True

    def _follow(self, stopped: StoppedThread, registers: Registers) -> None:
        """Follow from now on whether threads of this thread's process block SIGSEGV. That is known for this thread,
        which is stopped with ``registers``."""
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

    # Traps, and faults of the guest's own.

    def look(self, thread: Thread) -> None:
        """A store of the thread has trapped: see whether it blocks SIGSEGV."""
        process = thread.process
        if process.masks.followed:
            return
        state = signal_state(thread.tid)
        if not state.segv_is_default:
            thread.signals.segv_blocked = False
        elif process.actions.ignored or process.actions.is_unmarked_default:
            # It would look like this in any case.
            thread.signals.segv_blocked = blocks_other_faults(state.blocked)
        else:
            thread.signals.segv_blocked = self._has_reset(thread, state.blocked)

    def _has_reset(self, thread: Thread, mask: int) -> bool:
        """Whether it was the fault of this thread, which now has ``mask``, that reset the action. If several threads
        have faulted at the same time, only the other signals that they block can show which one it was."""
        if blocks_other_faults(mask):
            return True
        states = ((other, signal_state(other.tid)) for other in _sharers(thread))
        return not any(blocks_other_faults(state.blocked) and self._faults(other, state) for other, state in states)

    def _faults(self, thread: Thread, state: SignalState) -> bool:
        """Whether a thread is stopped for a SIGSEGV, or about to be."""
        return bool(state.pending & SEGV_BIT) or self._waiter.stands_at(thread.tid, stops.SEGV_STOPPED)

    def restore(self, stopped: StoppedThread, registers: Registers) -> int:
        """Restore what the kernel took away when the thread's store trapped. It continues with ``registers``, and with
        the signal that is returned."""
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
        # A signal that is blocked when the tracer lets it through becomes pending (kernel/signal.c, ptrace_signal).
        return 0 if swallowed is None else signal.SIGSEGV

    def report_step(self, stopped: StoppedThread, registers: Registers) -> int:
        """The thread single-steps itself, and has just done its store. Returns the signal that reports this step; the
        thread is now stopped for it. It continues with ``registers``."""
        stopped.thread.signals.stepped = False
        if stopped.signal_mask() & bit_of(signal.SIGTRAP):
            return 0
        stopped.set_registers(registers)
        info = struct.pack("<iiiiQ", signal.SIGTRAP, 0, TRAP_TRACE, 0, registers.pc)
        self._actions.stop_again(stopped, info.ljust(SIGINFO_SIZE, b"\0"))
        return signal.SIGTRAP

    def before_fault(self, stopped: StoppedThread) -> None:
        """The thread is about to get a SIGSEGV of its own: the kernel must have the action that the guest has set.

        A trap in another thread that blocks the signal, in a handler say, may just have reset it for the whole process:
        it is restored now, unless the kernel has reset it for this fault.
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
                # Now, while the action still shows which other threads block the signal.
                self._follow(stopped, registers)
        if not thread.signals.segv_blocked:
            self._actions.restore(stopped, registers)
            self._actions.stop_again(stopped, info)

    @staticmethod
    def has_plain_handler(thread: Thread) -> bool:
        """Whether the thread's own faults reach a handler without any action by htrun."""
        actions = thread.process.actions
        return actions.has_handler and not actions.reset_by_delivery and not thread.process.masks.followed

    @staticmethod
    def delivered(thread: Thread) -> bool:
        """The thread gets a SIGSEGV. Returns whether it must be stopped at the entry of the handler, which the kernel
        then removes."""
        actions = thread.process.actions
        if not actions.reset_by_delivery:
            return False
        actions.handler_taken()
        return bool(thread.space.mappings)


def is_alone(thread: Thread) -> bool:
    """Whether no other thread can change the signal actions of this thread."""
    return next(_sharers(thread), None) is None


def _sharers(thread: Thread) -> Iterator[Thread]:
    """The other threads with the same actions: they share its memory as well (clone(2), CLONE_SIGHAND)."""
    actions = thread.process.actions
    for other in thread.space.threads:
        if other is not thread and other.process.actions is actions and not other.exiting:
            yield other
