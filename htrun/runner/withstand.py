"""Makes the tracer ignore all signals except the one that is meant for it.

Many signals are sent to all processes of a control group or a job: by ``systemctl stop``, by ``scancel``, or by a log
rotation (SIGHUP). The program may catch such a signal and continue, so the tracer must continue, too.
"""

from __future__ import annotations

import signal

_END = signal.SIGTERM
_SI_QUEUE = -1
"""The si_code of a signal that was sent by sigqueue(3). A signal to a whole group comes from kill(2), which has another
si_code."""
_BLOCKED = frozenset({_END, signal.SIGCHLD})
"""The signals that htrun waits for, in `await_end` and in `htrun.tracee.wait.Waiter`."""


def withstand() -> None:
    """Ignore every signal that can be ignored, even if another action was inherited. This also discards pending
    signals."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        # SIGCHLD is not ignored: otherwise the kernel would not send it for stops (kernel/signal.c,
        # do_notify_parent_cldstop).
        signal.signal(number, signal.SIG_DFL if number in _BLOCKED else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    # Unblock all others. The launcher has already unblocked the two signals that the C library reserves for itself.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals() - _BLOCKED)


def await_end() -> None:
    """Wait until the tracer is asked to end, by a SIGTERM from sigqueue(3). ``kill -q 0 -TERM`` sends such a signal."""
    while signal.sigwaitinfo({_END}).si_code != _SI_QUEUE:
        pass
