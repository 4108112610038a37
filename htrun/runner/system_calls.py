"""The table of handlers for the system calls at which htrun's filters stop a thread (`htrun.tracee.seccomp`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.tracee import seccomp
from htrun.tracee.ptrace import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from htrun.intercept.mapping_calls import MappingCalls
    from htrun.intercept.masks import Masks
    from htrun.intercept.stopped_call import StoppedCall
    from htrun.runner.calls import Calls
    from htrun.runner.follow import Follow
    from htrun.runner.foreign_exec import ForeignExec
    from htrun.runner.no_calls import NoCalls
    from htrun.runner.second_tracers import SecondTracers
    from htrun.runner.signal_stops import SignalStops
    from htrun.runner.tracees import Tracees

    Handler = Callable[[StoppedCall], Request | None]
    """Handles a call before it is made. When the handler returns, the thread is still stopped, before or after the
    call. Returns the request with which the thread must be resumed; None for the usual request."""

_FILTER_FOLLOWS = {"seccomp": (0, 1), "prctl": (1, 2)}
"""For each call: the index of an argument, and its value if the call installs a filter (SECCOMP_SET_MODE_FILTER,
SECCOMP_MODE_FILTER)."""


class SystemCalls:
    """Chooses a handler by the name of the call. Names and numbers are those of the host's interfaces
    (`Abi.numbers`)."""

    def __init__(
        self,
        tracees: Tracees,
        signals: SignalStops,
        *,
        mapping_calls: MappingCalls,
        masks: Masks,
        foreign_exec: ForeignExec,
        follow: Follow,
        second_tracers: SecondTracers,
        calls: Calls | NoCalls,
    ) -> None:
        self._tracees = tracees
        self._signals = signals
        self._masks = masks
        self._foreign_exec = foreign_exec
        self._follow = follow
        self._second_tracers = second_tracers
        self._calls = calls
        mapping = self._of_mappings
        self.handlers: Mapping[str, Handler] = {
            # Calls that start programs or trace other processes.
            "execve": self._exec,
            "execveat": self._exec,
            "ptrace": second_tracers.asked,
            "prctl": self._prctl,
            "seccomp": self._seccomp,
            # Calls that query or set processors, which htrun may have taken from threads.
            "sched_setaffinity": self._processors_asked,
            "sched_getaffinity": self._processors_asked,
            # Calls that set SIGSEGV's action or a mask.
            "rt_sigaction": masks.action_called,
            "sigaction": masks.action_called,
            "signal": masks.action_called,
            "rt_sigprocmask": self._mask_changes,
            "sigprocmask": self._mask_changes,
            "ssetmask": self._mask_changes,
            "rt_sigreturn": self._mask_changes,
            "sigreturn": self._mask_changes,
            # Calls that map or unmap the channel.
            "mmap": mapping(mapping_calls.mmap),
            "old_mmap": mapping(mapping_calls.mmap),
            "munmap": mapping(mapping_calls.munmap),
            "mremap": mapping(mapping_calls.mremap),
            "mprotect": mapping(mapping_calls.mprotect),
            "pkey_mprotect": mapping(mapping_calls.mprotect),
            "mlockall": mapping(mapping_calls.lock_memory),
            "munlockall": mapping(mapping_calls.lock_memory),
        }

    def handle(self, call: StoppedCall) -> Request:
        """Handle a call that htrun's filters name. The thread is stopped before the call. Returns the request with
        which the thread must be resumed."""
        # A filter of the guest may stop a thread at any call, with the same data as a filter of htrun's.
        handler = self.handlers.get(call.name)
        return (handler(call) if handler is not None else None) or Request.CONT

    def _exec(self, call: StoppedCall) -> Request | None:
        if not self._foreign_exec.redirect(call):
            return None
        self._calls.watch(call.thread)
        # Stop after the call: if the exec fails, the thread's registers must be restored.
        return Request.SYSCALL

    def _prctl(self, call: StoppedCall) -> None:
        if call.argument(0) & 0xFFFFFFFF == seccomp.PR_SET_PTRACER:
            self._second_tracers.asked(call)
        else:
            self._seccomp(call)

    def _seccomp(self, call: StoppedCall) -> None:
        """Note that the thread installs a filter. A call with a null filter fails, and is ignored: QEMU's libseccomp
        makes such calls only to find out what the kernel supports."""
        argument, value = _FILTER_FOLLOWS[call.name]
        if call.argument(argument) & 0xFFFFFFFF == value and call.argument(2) == 0:
            return
        thread = call.thread
        thread.process.filtered = True
        threads = self._tracees.threads.values()
        others = [each for each in threads if each.process is thread.process and each is not thread]
        self._calls.filter_added(thread, others)

    def _processors_asked(self, _call: StoppedCall) -> None:
        self._follow.processors_asked()

    def _mask_changes(self, call: StoppedCall) -> None:
        self._signals.let_through(call.thread)
        self._masks.mask_changing(call)

    def _of_mappings(self, handle: Callable[[StoppedCall], None]) -> Handler:
        def handler(call: StoppedCall) -> None:
            # Once the recording has failed, the channel must not be protected again, because stores to it would trap.
            if not self._signals.failed:
                handle(call)
                self._signals.mappings_changed(call)

        return handler
