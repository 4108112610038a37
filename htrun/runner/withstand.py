"""The tracer ignores all signals that are sent to it, except one that is meant for it.

A signal is often sent to all processes of a control group or a job: ``systemctl stop``, ``scancel``, a log rotation's
SIGHUP. The program may catch it and go on for a while, or for good, so the tracer must go on as well.
"""

from __future__ import annotations

import signal

_END = signal.SIGTERM
_SI_QUEUE = -1
"""si_code of a signal that was sent with sigqueue(3). One that is sent to a whole group comes by kill(2)."""
_BLOCKED = frozenset({_END, signal.SIGCHLD})
"""Those that are awaited: `await_end`, `htrun.tracee.wait.Waiter`."""


def withstand() -> None:
    """Ignore every signal that can be ignored, whatever was inherited. Those that have come before have no effect."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        # Ignored, SIGCHLD would not be sent for stops (kernel/signal.c, do_notify_parent_cldstop).
        signal.signal(number, signal.SIG_DFL if number in _BLOCKED else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    # The launcher has unblocked the two that the C library has for itself.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals() - _BLOCKED)


def await_end() -> None:
    """Wait until somebody asks the tracer to end, by a SIGTERM that is sent with sigqueue(3): ``kill -q 0 -TERM``."""
    while signal.sigwaitinfo({_END}).si_code != _SI_QUEUE:
        pass
