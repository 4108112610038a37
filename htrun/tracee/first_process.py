"""The first process: what is special about the process that the user started, and that becomes the program.

Its death is *held*. The kernel shows a traced zombie to nobody but its tracer (kernel/exit.c: "A zombie ptracee is only
visible to its ptracer"). So its parent learns of its death only when htrun itself exits, with every record written.
Until then it must not be reaped, and every wait must avoid that zombie (`htrun.tracee.wait`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from htrun.tracee.stops import WALL, Exited, wait_status

if TYPE_CHECKING:
    from htrun.tracee.stops import Killed


class FirstProcess:
    """``pid``: its id, which is that of its thread group leader, too. ``big_endian``: the byte order of the program
    that it is about to become."""

    def __init__(self, pid: int, *, big_endian: bool = False) -> None:
        self.pid = pid
        self.big_endian = big_endian
        self.launched = False
        """Whether it has become the program. Until then, its calls are htrun's own."""
        self.status: int | None = None
        """Its wait status, once that is known."""
        self.held = False
        """Whether it has begun to die, and must not be reaped."""
        self.reported = False
        """Whether `Waiter.next` has reported its death."""
        self.is_oldest = True
        """Whether it is the oldest tracee. The kernel checks older tracees later than younger ones."""

    def hold(self) -> None:
        """It is dying: do not reap its leader from now on."""
        self.held = True

    def exiting(self, status: int) -> None:
        """Its leader is at the exit event, and will have the wait status ``status``."""
        self.status = status
        self.hold()

    def executed(self, *, by_another: bool) -> None:
        """It continues, because a thread has called exec. ``by_another``: of a thread other than its leader, which has
        the leader's id now."""
        self.held = self.reported = False
        self.is_oldest = self.is_oldest and not by_another

    def died(self, how: Exited | Killed) -> None:
        """Its death was reported."""
        self.status = how.status << 8 if isinstance(how, Exited) else how.signal

    def death(self) -> int | None:
        """Its wait status, if its death is held and it is dead. It stays a zombie."""
        if not self.held:
            return None
        try:
            result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
        except ChildProcessError:
            return None
        return None if result is None else wait_status(result)

    def settle(self) -> None:
        """Every other process has exited: note the wait status of this one. Its exit event does not say so if its
        leader exited
        before other threads."""
        status = self.death()
        if status is not None:
            self.status = status

    @property
    def exit_status(self) -> int:
        """As `subprocess` returns it: negative for a signal; 0 if it is not known."""
        return os.waitstatus_to_exitcode(self.status or 0)
