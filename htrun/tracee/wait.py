"""The one place where htrun waits for tracees.

`Waiter.next` blocks until any tracee has something to report. Once the first process has begun to die, its death is
held (`htrun.tracee.first_process`): waiting must step around a zombie, which a plain wait4(-1) would reap.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from htrun.tracee import stops
from htrun.tracee.ptrace import TraceeDied
from htrun.tracee.stops import WALL, wait_status

if TYPE_CHECKING:
    from typing import Protocol

    from htrun.tracee.first_process import FirstProcess

    class TrapsInOneGo(Protocol):
        """Waits for any tracee, and for the next trap at once (a host's ``TrapWait``)."""

        def next(self) -> tuple[int, int | None]:
            """The next ``(tid, wait status)``; a status of None is a death, not reaped yet."""

        def flush(self) -> None:
            """Resume now what is to be resumed when `next` is called next."""

    class CallsInOneGo(Protocol):
        """Waits for any tracee, and records calls meanwhile (a host's ``CallWait``)."""

        def next(self) -> tuple[int, int | None]:
            """The next ``(tid, wait status)``; a status of None is a death, not reaped yet."""

        def stopped(self) -> tuple[int, int] | None:
            """A stop that is there already; None if there is none."""


_MOST_IN_A_ROW = 32
"""Stops that are taken in the kernel's order, before all pending ones are taken at once."""


def _is_zombie(tid: int) -> bool:
    try:
        with open(f"/proc/{tid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2].startswith(b"Z")
    except OSError:
        return True


def is_end(stop: stops.Stop) -> bool:
    """Whether the thread that had this id has died, is about to, or is dead because another has taken over its id by an
    exec. `Waiter.next_of` reports that of the thread that it waits for, and `Waiter.next` reports it as well."""
    return isinstance(stop, stops.Exited | stops.Killed) or (
        isinstance(stop, stops.EventStop) and stop.event in {stops.PtraceEvent.EXIT, stops.PtraceEvent.EXEC}
    )


class Waiter:
    """Waits for wait statuses of all tracees.

    To be made before any other thread of this process is: each must have SIGCHLD blocked.
    """

    def __init__(self, first: FirstProcess) -> None:
        """``first``: the process that is never reaped."""
        # Blocked, so that it stays pending and can be awaited. Its default action discards it when it is sent, unless
        # the main thread blocks it, and when any thread takes it (kernel/signal.c, sig_ignored, get_signal).
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        self._first = first
        self._until_all = _MOST_IN_A_ROW
        self._quick: TrapsInOneGo | None = None
        self._calls: CallsInOneGo | None = None
        self._queue: deque[tuple[int, int]] = deque()
        """What was taken and is still to be reported by `next`."""

    @staticmethod
    def is_tracee(tid: int) -> bool:
        """Whether ``tid`` is traced and has not been reaped."""
        try:
            os.waitid(os.P_PID, tid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL)
        except ChildProcessError:
            return False
        return True

    def stands_at(self, tid: int, status: int) -> bool:
        """Whether a thread is at a stop with this wait status that was not reported yet."""
        if (tid, status) in self._queue:
            return True
        try:
            seen = os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL)
        except ChildProcessError:
            return False
        return seen is not None and seen.si_code == os.CLD_TRAPPED and wait_status(seen) == status

    def expect_traps(self, quick: TrapsInOneGo) -> None:
        """From now on most stops will be traps: wait by way of ``quick``."""
        self._quick = quick

    def record_calls(self, calls: CallsInOneGo) -> None:
        """From now on wait by way of ``calls``, which records calls meanwhile."""
        self._calls = calls

    def next(self, known: Iterable[int]) -> tuple[int, int] | None:
        """The next ``(tid, wait status)``; None when nothing but the held process is left and it is dead.

        The held one's own status is among them, once, though it is not reaped. ``known``: the ids of all tracees.
        """
        first = self._first
        if self._quick is not None and (self._queue or first.held or self._calls is not None):
            self._quick.flush()
        if self._queue:
            return self._queue.popleft()
        while not first.held:
            self._until_all -= 1
            if not self._until_all:
                self._until_all = _MOST_IN_A_ROW
                if self._quick is not None:
                    self._quick.flush()
                if self._take_all():
                    return self._queue.popleft()
            try:
                tid, status = self._any()
            except ChildProcessError:
                return None
            if status is not None:
                return tid, status
            if tid != first.pid:
                return os.waitpid(tid, WALL)
            # Killed while it was stopped: its exit event was let go before anyone could see it.
            first.hold()
        return self._next_but_first(known)

    def _any(self) -> tuple[int, int | None]:
        if self._calls is not None:
            return self._calls.next()
        return self._look() if self._quick is None else self._quick.next()

    @staticmethod
    def _take(tid: int) -> os.waitid_result | None:
        """The stop of a thread at which it was seen; None if it is at none any more. A thread that is killed at its
        exit event goes on and dies, and for a dead one the kernel returns ECHILD, unless deaths are waited for as well
        (kernel/exit.c, wait_consider_task)."""
        try:
            return os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOHANG | WALL)
        except ChildProcessError:
            return None

    @classmethod
    def _look(cls) -> tuple[int, int | None]:
        """As `TrapsInOneGo.next`, without the facts of traps."""
        while True:
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOWAIT | WALL)
            if seen is None or seen.si_code != os.CLD_TRAPPED:
                return (seen.si_pid if seen is not None else 0), None
            if (taken := cls._take(seen.si_pid)) is not None:
                return taken.si_pid, wait_status(taken)

    def next_of(self, tid: int) -> stops.Stop:
        """The next stop of one thread, which is known to be about to stop. An end (`is_end`) is also kept for `next`.
        Raises `TraceeDied` while another thread is taking over its id by an exec, which `next` will report.

        No wait reports a thread group leader that has died without an exit event (`_take`) before its last other thread
        is reaped, which may be at its own exit event until it is resumed. So this waits for nothing but the signal that
        comes with each change, the leader's death included (kernel/exit.c, exit_notify).
        """
        for place, (queued, status) in enumerate(self._queue):
            if queued == tid:
                stop = stops.decode(tid, status)
                if not is_end(stop):
                    del self._queue[place]
                return stop
        waited = False
        while True:
            try:
                seen = os.waitid(os.P_PID, tid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL)
            except ChildProcessError:
                # Nobody has the id: the old thread is released (fs/exec.c, de_thread) and the new one not found yet.
                raise TraceeDied(tid) from None
            if seen is None:
                if waited and _is_zombie(tid):
                    return stops.Killed(tid, signal.SIGKILL)
                signal.sigwaitinfo({signal.SIGCHLD})
                waited = True
                continue
            if seen.si_code != os.CLD_TRAPPED:
                return self._death_of(tid, wait_status(seen))
            if (taken := self._take(tid)) is None:
                continue
            status = wait_status(taken)
            stop = stops.decode(tid, status)
            if is_end(stop):
                self._queue.append((tid, status))
            return stop

    def _death_of(self, tid: int, status: int) -> stops.Stop:
        if tid == self._first.pid:
            self._first.hold()
        else:
            os.waitpid(tid, WALL)
            self._queue.append((tid, status))
        return stops.decode(tid, status)

    def _next_but_first(self, known: Iterable[int]) -> tuple[int, int] | None:
        """`next` while the death of the first process is held."""
        first = self._first
        while True:
            if self._calls is not None and (stop := self._calls.stopped()) is not None:
                return stop
            if self._take_all() or (not first.is_oldest and self._take_hidden(set(known))):
                return self._queue.popleft()
            if not first.reported and (status := first.death()) is not None:
                first.reported = True
                return first.pid, status
            if not any(tid != first.pid for tid in known) and self._is_gone(first):
                return None
            signal.sigwaitinfo({signal.SIGCHLD})

    def _take_all(self) -> bool:
        """Queue the stops of all tracees that are at one, then all deaths but the first's; whether there are any.

        All, and the oldest tracee's first: the kernel looks at the newest first (kernel/ptrace.c, __ptrace_link), so
        threads that are created without end would keep it from ever coming to the one that is about to end them.
        """
        queue = self._queue
        dead: list[tuple[int, int]] = []
        with suppress(ChildProcessError):
            while (stopped := os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG | WALL)) is not None:
                queue.appendleft((stopped.si_pid, wait_status(stopped)))
        with suppress(ChildProcessError):
            # The kernel gives the first, which must not be reaped, last.
            while (seen := self._dead()) is not None and seen.si_pid != self._first.pid:
                os.waitpid(seen.si_pid, WALL)
                dead.append((seen.si_pid, wait_status(seen)))
        queue.extend(reversed(dead))
        return bool(queue)

    @staticmethod
    def _dead() -> os.waitid_result | None:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)

    def _take_hidden(self, known: set[int]) -> bool:
        """Queue the deaths of tracees that are older than the first is now; whether there are any. Until threads that
        were killed before anything reported them are reaped, their process can neither exit nor exec."""
        looked_at: set[int] = set()
        for tid in known:
            if tid in looked_at:
                continue
            tasks = {tid}
            with suppress(FileNotFoundError, ProcessLookupError):
                tasks |= {int(name) for name in os.listdir(f"/proc/{tid}/task")}
            looked_at |= tasks
            for task in tasks - {self._first.pid}:
                with suppress(ChildProcessError):
                    dead = os.waitid(os.P_PID, task, os.WEXITED | os.WNOHANG | WALL)
                    if dead is not None:
                        self._queue.append((task, wait_status(dead)))
        return bool(self._queue)

    def _is_gone(self, first: FirstProcess) -> bool:
        """Whether the held process is dead, or was reaped by another process all the same."""
        return not self.is_tracee(first.pid) or first.death() is not None
