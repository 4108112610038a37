"""Replaces `Calls` if neither system calls nor the start and exit of threads are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.tracee.ptrace import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from htrun.hosts.calls import Abi
    from htrun.intercept.guest import StoppedThread, Thread
    from htrun.tracee.wait import Waiter


class NoCalls:
    """Records nothing. The methods are those of `Calls`."""

    recording = False

    def began(self, _thread: Thread) -> None:
        """Do nothing: the start of a thread is not recorded."""

    def ended(self, _thread: Thread) -> None:
        """Do nothing: the exit of a thread is not recorded."""

    def launching(self, _stopped: StoppedThread) -> None:
        """Do nothing: no call is recorded."""

    def entered(self, _stopped: StoppedThread) -> None:
        """Do nothing: no call is recorded."""

    def made(self, _stopped: StoppedThread) -> None:
        """Do nothing: no call is recorded."""

    def returned(self, _stopped: StoppedThread) -> None:
        """Do nothing: no call is recorded."""

    def refused(self, _stopped: StoppedThread, _abi: Abi, _number: int) -> None:
        """Do nothing: no call is recorded."""

    def filter_added(self, _thread: Thread, _others: Iterable[Thread]) -> None:
        """Do nothing: calls that the filter denies are not recorded."""

    def watch(self, _thread: Thread) -> None:
        """Do nothing: the thread stops after its call if the loop resumes it by PTRACE_SYSCALL."""

    def executed(self, _former: int, _tid: int, learn: Callable[[], None]) -> None:
        """Call ``learn``, which passes the new id of a thread on to the other parts of htrun. Nothing is recorded."""
        learn()

    def wait_with(self, _waiter: Waiter) -> None:
        """Do nothing: no call is recorded while htrun waits."""

    def resume(self, stopped: StoppedThread, request: Request = Request.CONT, number: int = 0) -> None:
        """Resume the thread by ``request``, with the signal ``number``."""
        stopped.resume(request, number)
