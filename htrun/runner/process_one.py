"""Runs the program in a child if htrun is process 1 of a container.

When process 1 of a PID namespace exits, the kernel kills all other processes in the namespace (pid_namespaces(7)). It
would also kill the tracer, before the tracer has written its records. htrun holds the death of any other first process
(`htrun.tracee.wait`), but cannot hold the death of process 1. So if htrun is started as process 1 (``docker run IMAGE
htrun ...``), the launcher forks first. Process 1 then runs this module, as the init of the container: it reaps orphans,
passes signals on, and exits with the program.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from htrun.tracee.spawn import release_inherited

_KILLED = 128
"""Added to a signal's number to make an exit status, as shells do. Process 1 cannot kill itself with a signal."""


def serve(child: int) -> NoReturn:
    """Act as process 1 for the launcher ``child``, and exit with the child's exit status. The launcher blocked all
    signals before it created the child, so no signal is missed (`htrun/launch/launcher.S`)."""
    release_inherited()
    while True:
        received = signal.sigwaitinfo(signal.valid_signals())
        if received.si_signo == signal.SIGCHLD:
            _reap(child)
        elif received.si_code <= 0:
            # A process has sent the signal (SI_USER and below, sigaction(2)). The terminal sends its signals to the
            # child, too, since the child is in the same process group.
            os.kill(child, received.si_signo)


def _reap(child: int) -> None:
    """Reap every process that has exited. If ``child`` is among them, exit in the same way as it has."""
    while True:
        # waitpid cannot fail, since the child exists until it is reaped here.
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        if process == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else _KILLED - code)
