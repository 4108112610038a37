"""What htrun does with its tracees when it is asked to end the run."""

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
    """Once the end was requested, every stop is passed to `stopped`, and nothing is recorded."""

    asked: bool
    """Whether the end was asked for."""

    def ask(self) -> None:
        """End the run. May be called from any thread of htrun, more than once."""

    def stopped(self, stop: stops.Stop) -> None:
        """A tracee has stopped or died after the end was requested. Raises `TraceeDied`."""

    def stop_handled(self) -> None:
        """The loop has handled one stop since then, which may have occurred earlier."""


class Killing(Ending):
    """Kills every tracee, so that the loop ends when the last is dead."""

    def __init__(self, tracees: Tracees) -> None:
        self.asked = False
        self._tracees = tracees
        self._killed_all = False

    def ask(self) -> None:
        """Kill all."""
        self.asked = True
        self._kill_all()

    def stopped(self, stop: stops.Stop) -> None:
        """Kill it, too: it may have become a tracee later."""
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
        """Kill the tracees that `ask` did not know: that stop may have made one, whose first stop is over. A process
        that is killed at the event of its child may have no further stop, and nobody would see the child."""
        if not self._killed_all:
            self._killed_all = True
            self._kill_all()

    def _kill_all(self) -> None:
        for tid in self._tracees:
            _kill(tid)


def _kill(tid: int) -> None:
    """Kill the process of a thread, if there is still one."""
    with suppress(ProcessLookupError):
        os.kill(tid, signal.SIGKILL)
