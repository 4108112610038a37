"""The ways in which htrun ends a run on request."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from htrun.tracee import stops
from htrun.tracee.stopped import Stopped
from htrun.tracee.stops import PtraceEvent

if TYPE_CHECKING:
    from htrun.runner.tracees import Tracees


class Ending(Protocol):
    """A way to end a run. After the request, the loop passes every stop to `stopped`, and nothing is recorded."""

    asked: bool
    """Whether the end of the run was requested."""

    def ask(self) -> None:
        """Request the end of the run. May be called from any thread of htrun, and more than once."""

    def stopped(self, stop: stops.Stop) -> None:
        """Handle a stop or the death of a tracee after the request. Raises `TraceeDied`."""

    def stop_handled(self) -> None:
        """Called when the loop has handled a stop and the end of the run was requested. The stop may be older than the
        request."""


class Killing(Ending):
    """Kills every tracee; the loop ends when the last tracee is dead."""

    def __init__(self, tracees: Tracees) -> None:
        self.asked = False
        self._tracees = tracees
        self._killed_all = False

    def ask(self) -> None:
        """Kill all tracees."""
        self.asked = True
        self._kill_all()

    def stopped(self, stop: stops.Stop) -> None:
        """Kill the tracee that has stopped, since it may have become a tracee after `ask`."""
        thread = self._tracees.threads.get(stop.tid)
        if isinstance(stop, stops.Exited | stops.Killed):
            if thread is not None:
                self._tracees.ended(thread, stop)
            self._tracees.stranger_ended(stop.tid)
            return
        _kill(stop.tid)
        stopped = Stopped(stop.tid)
        if thread is not None and stop == stops.EventStop(stop.tid, PtraceEvent.EXIT):
            self._tracees.exiting(thread, stopped.event_message())
        stopped.resume()

    def stop_handled(self) -> None:
        """Kill the tracees that did not exist yet when `ask` was called. The stop that was just handled may have
        created a tracee, whose first stop is already over. If a process is killed at the event that reports its child,
        it may have no further stop. So this is the only chance to find the child."""
        if not self._killed_all:
            self._killed_all = True
            self._kill_all()

    def _kill_all(self) -> None:
        for tid in self._tracees:
            _kill(tid)


def _kill(tid: int) -> None:
    """Kill the process that thread ``tid`` belongs to, if it exists."""
    with suppress(ProcessLookupError):
        os.kill(tid, signal.SIGKILL)
