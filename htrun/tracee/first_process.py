"""The first process: the user has started it, and it becomes the program. Its death is *held*.

The kernel shows a traced zombie only to its tracer (kernel/exit.c: "A zombie ptracee is only visible to its ptracer").
So the process's parent learns of the death only when htrun exits, which it does after every record was written. Until
then htrun must not reap the process, so no wait may take this zombie (`htrun.tracee.wait`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from htrun.tracee.stops import WALL, Exited, wait_status

if TYPE_CHECKING:
    from htrun.tracee.stops import Killed


class FirstProcess:
    """The first process. ``pid``: its id, which is also the id of its thread group leader. ``big_endian``: whether the
    program that it will become is big-endian."""

    def __init__(self, pid: int, *, big_endian: bool = False) -> None:
        self.pid = pid
        self.big_endian = big_endian
        self.launched = False
        """Whether the process has become the program. Until then, its calls are htrun's own."""
        self.status: int | None = None
        """The wait status of the process; None if it is not known."""
        self.held = False
        """Whether the process has begun to die, and must not be reaped."""
        self.reported = False
        """Whether `Waiter.next` has reported the death of the process."""
        self.is_oldest = True
        """Whether the process is the oldest tracee. The kernel's wait functions check the oldest tracee last."""

    def hold(self) -> None:
        """Keep the leader from being reaped from now on, since the process is dying."""
        self.held = True

    def exiting(self, status: int) -> None:
        """Note that the leader is at its exit event. ``status``: the wait status that the leader will have."""
        self.status = status
        self.hold()

    def executed(self, *, by_another: bool) -> None:
        """Stop holding the process, since one of its threads has called exec. ``by_another``: whether a thread other
        than the leader has called exec. This thread has the leader's id now."""
        self.held = self.reported = False
        self.is_oldest = self.is_oldest and not by_another

    def died(self, how: Exited | Killed) -> None:
        """Note that the death of the process was reported."""
        self.status = how.status << 8 if isinstance(how, Exited) else how.signal

    def death(self) -> int | None:
        """The wait status of the process if it is dead and its death is still held; otherwise None. The process stays a
        zombie."""
        if not self.held:
            return None
        try:
            result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
        except ChildProcessError:
            return None
        return None if result is None else wait_status(result)

    def settle(self) -> None:
        """Read the wait status of the process, after all other processes and threads have exited. The status at the
        leader's exit event is not the status of the process if other threads of the process have exited later."""
        status = self.death()
        if status is not None:
            self.status = status

    @property
    def exit_status(self) -> int:
        """The exit status in the form of `subprocess`: negative for a signal; 0 if it is not known."""
        return os.waitstatus_to_exitcode(self.status or 0)
