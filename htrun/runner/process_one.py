"""Process 1 of a container stays what it is, and the program runs in a child of it.

When the first process of a PID namespace exits, the kernel kills every other one in it (pid_namespaces(7)): the tracer
too, before it has written what it has. Such a death can't be held, as that of any other first process is
(`htrun.tracee.wait`). So where htrun is started as process 1 (``docker run IMAGE htrun ...``), it does what the init
of a container does: it takes in orphans, passes signals on, and ends with the program.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from htrun.tracee.spawn import release_inherited

_KILLED = 128
"""Added to a signal's number it makes an exit status, as in shells: process 1 can't die of a signal of its own."""


def leave_to_a_child() -> None:
    """Return in a child only, with whose exit status this process ends."""
    # From before the fork on, so that none is missed.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    # Ignored, the kernel would reap in its place (wait(2)); the program is to inherit what was.
    inherited = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, inherited)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return
    release_inherited()
    _serve(child)


def _serve(child: int) -> NoReturn:
    while True:
        received = signal.sigwaitinfo(signal.valid_signals())
        if received.si_signo == signal.SIGCHLD:
            _reap(child)
        elif received.si_code <= 0:
            # Sent by a process (SI_USER and below, sigaction(2)). A terminal's signals reach the child by themselves:
            # it is in the same process group.
            os.kill(child, received.si_signo)


def _reap(child: int) -> None:
    """Take in whoever has ended; end as ``child`` did if it is among them."""
    while True:
        # There is always the child to wait for.
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        if process == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else _KILLED - code)
