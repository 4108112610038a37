"""Process 1 of a container stays what it is, and the program runs in a child of it.

When the first process of a PID namespace exits, the kernel kills every other one in it (pid_namespaces(7)): the tracer
too, before it has written what it has. Such a death can't be held, as that of any other first process is
(`htrun.tracee.wait`). So where htrun is started as process 1 (``docker run IMAGE htrun ...``), the launcher forks
first, and process 1 becomes this, the init of a container: it reaps orphans, passes signals on, and exits with the
program.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from htrun.tracee.spawn import release_inherited

_KILLED = 128
"""Added to a signal's number it makes an exit status, as in shells: process 1 can't die of a signal of its own."""


def serve(child: int) -> NoReturn:
    """Act as process 1 for the launcher ``child``, and exit as it does. All signals are blocked, and have been since
    before there was a child, so that none is missed (`htrun/launch/launcher.S`)."""
    release_inherited()
    while True:
        received = signal.sigwaitinfo(signal.valid_signals())
        if received.si_signo == signal.SIGCHLD:
            _reap(child)
        elif received.si_code <= 0:
            # Sent by a process (SI_USER and below, sigaction(2)). A terminal's signals reach the child by themselves:
            # it is in the same process group.
            os.kill(child, received.si_signo)


def _reap(child: int) -> None:
    """Reap every process that has ended; exit as ``child`` did if it is among them."""
    while True:
        # There is always the child to wait for.
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        if process == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else _KILLED - code)
