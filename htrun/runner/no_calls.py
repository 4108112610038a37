"""What stands in for `Calls` where neither system calls nor the start and exit of threads are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.tracee.ptrace import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from htrun.hosts.calls import Abi
    from htrun.intercept.guest import StoppedThread, Thread
    from htrun.tracee.wait import Waiter


class NoCalls:
    """Records nothing. Methods: as `Calls`."""

    recording = False

    def began(self, _thread: Thread) -> None:
        """The start of a thread is not recorded."""

    def ended(self, _thread: Thread) -> None:
        """Nor is its exit."""

    def launching(self, _stopped: StoppedThread) -> None:
        """No call is recorded."""

    def entered(self, _stopped: StoppedThread) -> None:
        """No call is recorded."""

    def made(self, _stopped: StoppedThread) -> None:
        """No call is recorded."""

    def returned(self, _stopped: StoppedThread) -> None:
        """No call is recorded."""

    def refused(self, _stopped: StoppedThread, _abi: Abi, _number: int) -> None:
        """No call is recorded."""

    def filter_added(self, _thread: Thread, _others: Iterable[Thread]) -> None:
        """Calls that it denies are not recorded."""

    def watch(self, _thread: Thread) -> None:
        """The thread stops after its call if it is resumed so."""

    def executed(self, _former: int, _tid: int, learn: Callable[[], None]) -> None:
        """``learn`` makes it known to everybody else; nothing is recorded."""
        learn()

    def wait_with(self, _waiter: Waiter) -> None:
        """Nothing is recorded while htrun waits."""

    def resume(self, stopped: StoppedThread, request: Request = Request.CONT, number: int = 0) -> None:
        """Let the thread go on by ``request``, with the signal ``number``."""
        stopped.resume(request, number)
