"""The action for SIGSEGV in a process that has mapped the channel. The action that the guest has set may differ from
the action that the kernel has.

When a thread that blocks SIGSEGV makes a store that traps, the kernel unblocks the signal and resets its action to the
default (kernel/signal.c, force_sig_info_to_task). The reset action is the only sign of this that htrun can see. If the
guest has set a handler, the reset is visible because the handler is gone. If the guest has set no handler, htrun sets a
*marker* as the handler: an address where no code can be. The marker is never called: each SIGSEGV stops the thread for
the tracer first, and htrun restores the default action before a SIGSEGV that kills. A guest that queries the action
gets its own setting; only ``SigCgt`` in ``/proc`` shows the marker.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from htrun import hosts
from htrun.events.warnings import Kind, Warnings
from htrun.hosts.calls import Abi
from htrun.intercept.guest import SignalActions, StoppedThread, Thread, handler_of, with_handler
from htrun.intercept.scratch import Scratch
from htrun.intercept.stopped_call import StoppedCall
from htrun.tracee import stops
from htrun.tracee.inject import ALL_SIGNALS, Injection
from htrun.tracee.ptrace import Request, TraceeDied
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from htrun.hosts.host import Registers

_FORM = {64: (8, 8, 8, 8), 32: (4, 4, 4, 8)}
"""The sizes in bytes of handler, flags, restorer and mask in the struct sigaction of rt_sigaction, for 64-bit and
32-bit code."""
_SIZE = {64: 32, 32: 20}
_OLD_SIZE = 16
"""The size of struct old_sigaction in bytes. It contains handler, mask, flags and restorer, four bytes each."""
_OF_SIGNAL = 0xC0000000
"""The flags of an action that was set by the system call signal(2): SA_RESETHAND | SA_NODEFER."""
_CLONE_CLEAR_SIGHAND = 1 << 32


class Actions:
    """Tracks and sets the action for SIGSEGV in processes."""

    def __init__(self, waiter: Waiter, scratch: Scratch, warnings: Warnings) -> None:
        self._waiter = waiter
        self._scratch = scratch
        self._warnings = warnings

    def called(self, call: StoppedCall) -> None:
        """Handle a thread that is stopped before a call that sets or queries the action for SIGSEGV. If a channel is
        mapped, htrun lets the thread make the call, and the thread is then stopped after the call."""
        thread, actions = call.thread, call.thread.process.actions
        try:
            asked = _asked(call)
        except OSError:
            # The address is invalid: the kernel will return EFAULT.
            return
        if not (thread.space.mappings or actions.marked):
            if asked is not None:
                actions.segv = asked
            return
        was_marked, marks = actions.marked, asked is not None and handler_of(asked) == 0
        marked = self._call(call, mark=marks)
        if call.name != "signal" and call.result != 0:
            return
        if asked is not None:
            actions.segv, actions.marked = asked, marked
        if was_marked:
            _hide_marker(call)

    def _call(self, call: StoppedCall, *, mark: bool) -> bool:
        """Let the thread make the call. ``mark``: whether to pass the marker in place of a default action. Returns
        whether the marker was passed."""
        given = call.argument(1)
        with ExitStack() as stack:
            if mark:
                try:
                    instead = self._with_marker(stack, call)
                except OSError:
                    # There is no memory for the marker, so the kernel gets the guest's default action.
                    mark = False
                else:
                    call.set_argument(1, instead)
                    call.write_registers()
            call.finish(self._waiter)
        if mark:
            call.set_argument(1, given)
            call.write_registers()
        return mark

    def _with_marker(self, stack: ExitStack, call: StoppedCall) -> int:
        """The second argument of a call that sets the marker in place of the default action. For signal(2), this is the
        marker itself; for other calls, the address of a struct that contains the marker."""
        abi, space = call.abi, call.thread.space
        if call.name == "signal":
            return abi.nowhere
        size = _OLD_SIZE if call.name == "sigaction" else _SIZE[abi.bits]
        action = space.memory.read_whole(call.argument(1), size)
        marker = abi.nowhere.to_bytes(abi.word, "little") + action[abi.word :]
        return stack.enter_context(self._scratch.holding(space, call.registers, size, lambda _: marker))

    def mark(self, injection: Injection, thread: Thread, registers: Registers) -> None:
        """Set the kernel's action to the marker in place of the default action. Raises OSError."""
        actions, abi = thread.process.actions, thread.space.abi
        assert abi is not None
        action = with_handler(_in_form(actions.segv or bytes(_SIZE[abi.bits]), abi), abi.nowhere)
        self._set(injection, thread, action, registers)
        actions.marked = True

    def restore(self, stopped: StoppedThread, registers: Registers) -> bool:
        """Restore the action that the kernel has reset to the default. Returns whether this succeeded. ``registers``:
        the registers with which the thread will continue."""
        thread = stopped.thread
        actions, space = thread.process.actions, thread.space
        if actions.is_unmarked_default and not _can_be_marked(thread):
            return False
        try:
            if thread.process.filtered:
                raise PermissionError(1, "it has a seccomp filter of its own")
            assert space.abi is not None
            with Injection(stopped, self._waiter, space.abi, space.syscall_instruction, registers) as injection:
                if actions.is_default:
                    self.mark(injection, thread, registers)
                else:
                    assert actions.segv is not None
                    self._set(injection, thread, _in_form(actions.segv, space.abi), registers)
        except OSError as error:
            self._warnings.warn(
                Kind.INJECTION,
                thread.process.pid,
                f"process {thread.process.pid} emits while it ignores or blocks SIGSEGV. The kernel has reset the "
                f"action of this signal, and htrun could not restore it ({error.strerror})",
            )
            return False
        return True

    def mark_if_default(self, stopped: StoppedThread, registers: Registers) -> None:
        """Set the marker if the kernel has the default action and htrun may make calls in the process."""
        if _can_be_marked(stopped.thread):
            self.restore(stopped, registers)

    def _set(self, injection: Injection, thread: Thread, action: bytes, registers: Registers) -> None:
        with self._scratch.holding(thread.space, registers, len(action), lambda _: action) as address:
            injection.call("rt_sigaction", signal.SIGSEGV, address, 0, 8)

    def make_default(self, stopped: StoppedThread) -> None:
        """Make the kernel remove the marker, while the thread is stopped for a SIGSEGV that must kill it. The thread
        faults once with the signal blocked, which resets the action. A system call could do the same, but a filter of
        the guest could forbid it."""
        info, mask, registers = stopped.signal_info(), stopped.signal_mask(), stopped.registers()
        lost = registers.copy()
        lost.pc = hosts.current().interface(registers.bits).nowhere
        # The thread is no longer in a call, so the kernel must not restart one.
        lost.skip_call()
        lost.stop_stepping()
        stopped.set_registers(lost)
        stopped.set_signal_mask(ALL_SIGNALS)
        self._run_to_signal(stopped)
        stopped.set_registers(registers)
        stopped.set_signal_mask(mask)
        stopped.set_signal_info(info)
        stopped.thread.process.actions.handler_taken()

    def stop_again(self, stopped: StoppedThread, info: bytes) -> None:
        """Make a thread that was stopped for a SIGSEGV stop for the signal that ``info``, a siginfo_t, describes. This
        works even if htrun has injected calls, which end the first stop."""
        if _signal_of(stopped.signal_info()) != signal.SIGSEGV:
            # A signal sent by a tracer causes another stop before the thread runs any instruction.
            self._run_to_signal(stopped, _signal_of(info))
        stopped.set_signal_info(info)

    def _run_to_signal(self, stopped: StoppedThread, deliver: int = 0) -> None:
        stop = stopped.run_to_next(self._waiter, Request.CONT, deliver)
        while not isinstance(stop, stops.SignalStop):
            if not isinstance(stop, stops.GroupStop | stops.InterruptStop):
                raise TraceeDied(stopped.tid)
            stop = stopped.run_to_next(self._waiter)


def _can_be_marked(thread: Thread) -> bool:
    process = thread.process
    return process.actions.is_unmarked_default and bool(thread.space.mappings) and not process.filtered


def _asked(call: StoppedCall) -> bytes | None:
    """The action that the call would set, as the struct sigaction of rt_sigaction in the call's interface; None if the
    call only queries the action. Raises OSError."""
    address, memory = call.argument(1), call.thread.space.memory
    if call.name == "signal":
        return address.to_bytes(4, "little") + _OF_SIGNAL.to_bytes(4, "little") + bytes(12)
    if not address:
        return None
    if call.name == "sigaction":
        old = memory.read_whole(address, _OLD_SIZE)
        return old[0:4] + old[8:16] + old[4:8] + bytes(4)
    return memory.read_whole(address, _SIZE[call.abi.bits])


def _in_form(action: bytes, abi: Abi) -> bytes:
    """``action`` converted to the struct sigaction of rt_sigaction in ``abi``. The guest may have set the action
    through the other interface (32-bit or 64-bit)."""
    at, parts = 0, []
    for size in _FORM[64 if len(action) == _SIZE[64] else 32]:
        parts.append(int.from_bytes(action[at : at + size], "little"))
        at += size
    return b"".join(
        (part & (1 << 8 * size) - 1).to_bytes(size, "little") for part, size in zip(parts, _FORM[abi.bits], strict=True)
    )


def _hide_marker(call: StoppedCall) -> None:
    """Replace htrun's marker by the default action in the former action that the call has returned to the guest. The
    thread is stopped after the call."""
    abi = call.abi
    if call.name == "signal":
        if call.registers.result & 0xFFFFFFFF == abi.nowhere:
            call.registers.result = 0
            call.write_registers()
        return
    address, memory = call.argument(2), call.thread.space.memory
    # Another thread may have unmapped the memory since the call.
    with suppress(OSError):
        if address and int.from_bytes(memory.read_whole(address, abi.word), "little") == abi.nowhere:
            memory.write(address, bytes(abi.word))


def _signal_of(info: bytes) -> int:
    return int.from_bytes(info[:4], "little")


def inherited(creator: Thread, stopped: StoppedThread | None) -> SignalActions:
    """The actions of a new child that does not share the actions of ``creator``. ``stopped``: the creator, stopped in
    the call that has created the child; None if the creator was killed."""
    actions = creator.process.actions
    if actions.ignored or (actions.is_unmarked_default and actions.segv is None):
        return actions.copy()
    if stopped is None:
        return actions.copy()
    with suppress(TraceeDied, OSError):
        host = hosts.current()
        # The number is the same in each interface (asm-generic/unistd.h).
        if stopped.user_word(host.words.call_number) & 0xFFFFFFFF == host.native.numbers["clone3"]:
            registers, memory = stopped.registers(), creator.space.memory
            abi = host.interface(registers.bits)
            memory.reach_through(creator.tid)
            flags = memory.read_whole(abi.argument(registers, 0), 8)
            if int.from_bytes(flags, "little") & _CLONE_CLEAR_SIGHAND:
                return SignalActions()
    return actions.copy()
