"""Waits for tracees. No other module of htrun waits for tracees.

`Waiter.next` blocks until a tracee has a stop or a death to report. When the first process has begun to die, its death
is held (`htrun.tracee.first_process`). From then on, a plain wait4(-1) would reap this zombie, so other kinds of wait
are used.
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
        """Waits for any tracee, and also reads the facts of a trap (a host's ``TrapWait``)."""

        def next(self) -> tuple[int, int | None]:
            """The next ``(tid, wait status)``. If the thread has died, the status is None, and the thread still has to
            be reaped."""

        def flush(self) -> None:
            """Resume now the thread that the next call of `next` would resume."""

    class CallsInOneGo(Protocol):
        """Waits for any tracee, and records calls meanwhile (a host's ``CallWait``)."""

        def next(self) -> tuple[int, int | None]:
            """The next ``(tid, wait status)``. If the thread has died, the status is None, and the thread still has to
            be reaped."""

        def stopped(self) -> tuple[int, int] | None:
            """A stop that has already happened; None if there is no stop."""


_MOST_IN_A_ROW = 32
"""The number of stops that are taken one by one in the kernel's order. After these, all pending stops are taken
together."""


def _is_zombie(tid: int) -> bool:
    try:
        with open(f"/proc/{tid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2].startswith(b"Z")
    except OSError:
        return True


def is_end(stop: stops.Stop) -> bool:
    """Whether ``stop`` is the end of a thread: the thread has died or is about to die, or another thread has taken over
    its id by an exec. `Waiter.next_of` reports the end of its thread, and `Waiter.next` reports the same end again."""
    return isinstance(stop, stops.Exited | stops.Killed) or (
        isinstance(stop, stops.EventStop) and stop.event in {stops.PtraceEvent.EXIT, stops.PtraceEvent.EXEC}
    )


class Waiter:
    """Waits for stops and deaths of all tracees.

    It must be created before any other thread of this process, since each thread must have SIGCHLD blocked.
    """

    def __init__(self, first: FirstProcess) -> None:
        """``first``: the process that must not be reaped."""
        # A blocked SIGCHLD stays pending, so that it can be awaited. The default action discards the signal if the main
        # thread does not block it, or when any thread takes it (kernel/signal.c, sig_ignored, get_signal).
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        self._first = first
        self._until_all = _MOST_IN_A_ROW
        self._quick: TrapsInOneGo | None = None
        self._calls: CallsInOneGo | None = None
        self._queue: deque[tuple[int, int]] = deque()
        """The wait statuses that were taken from the kernel and that `next` has still to report."""

    @staticmethod
    def is_tracee(tid: int) -> bool:
        """Whether ``tid`` is traced and has not been reaped."""
        try:
            os.waitid(os.P_PID, tid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL)
        except ChildProcessError:
            return False
        return True

    def stands_at(self, tid: int, status: int) -> bool:
        """Whether a thread is stopped with this wait status, and `next` has not reported the stop yet."""
        if (tid, status) in self._queue:
            return True
        try:
            seen = os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL)
        except ChildProcessError:
            return False
        return seen is not None and seen.si_code == os.CLD_TRAPPED and wait_status(seen) == status

    def expect_traps(self, quick: TrapsInOneGo) -> None:
        """From now on, wait with ``quick``, since most stops will be traps."""
        self._quick = quick

    def record_calls(self, calls: CallsInOneGo) -> None:
        """From now on, wait with ``calls``, which records calls meanwhile."""
        self._calls = calls

    def is_idle(self) -> bool:
        """Whether no tracee has a stop or a death to report now, and the first process has not begun to die. Also
        resumes the thread that `next` would resume."""
        if self._quick is not None:
            self._quick.flush()
        if self._queue or self._first.held:
            return False
        try:
            return os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL) is None
        except ChildProcessError:
            return False

    def next(self, known: Iterable[int]) -> tuple[int, int] | None:
        """The next ``(tid, wait status)``; None if no tracee is left, except the held process when it is dead.

        The status of the held process is reported once, though the process is not reaped. ``known``: the ids of all
        tracees.
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
            # The first process was killed while it was stopped: the kernel has ended its exit event early.
            first.hold()
        return self._next_but_first(known)

    def _any(self) -> tuple[int, int | None]:
        if self._calls is not None:
            return self._calls.next()
        return self._look() if self._quick is None else self._quick.next()

    @staticmethod
    def _take(tid: int) -> os.waitid_result | None:
        """Take the stop of a thread that was seen to be stopped. Returns None if the thread is no longer stopped. A
        thread that is killed at its exit event continues and dies. For a dead thread, the kernel returns ECHILD unless
        the call waits for deaths too (kernel/exit.c, wait_consider_task)."""
        try:
            return os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOHANG | WALL)
        except ChildProcessError:
            return None

    @classmethod
    def _look(cls) -> tuple[int, int | None]:
        """Wait like `TrapsInOneGo.next`, but without reading the facts of traps."""
        while True:
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOWAIT | WALL)
            if seen is None or seen.si_code != os.CLD_TRAPPED:
                return (seen.si_pid if seen is not None else 0), None
            if (taken := cls._take(seen.si_pid)) is not None:
                return taken.si_pid, wait_status(taken)

    def next_of(self, tid: int) -> stops.Stop:
        """The next stop of a thread that is about to stop. An end (`is_end`) is also kept for `next`. Raises
        `TraceeDied` while another thread is taking over the id by an exec; `next` will report the exec.

        A wait for stops alone fails for a dead thread, even for a thread group leader that the kernel does not report
        yet because other threads of the process exist (kernel/exit.c, wait_consider_task). So the method does not wait
        for such a leader. Waiting would never end, because other threads of the leader may be at their exit events
        until they are resumed.
        """
        for place, (queued, status) in enumerate(self._queue):
            if queued == tid:
                stop = stops.decode(tid, status)
                if not is_end(stop):
                    del self._queue[place]
                return stop
        while True:
            try:
                taken = os.waitid(os.P_PID, tid, os.WSTOPPED | WALL)
            except ChildProcessError:
                if (death := self._death_of(tid)) is not None:
                    return death
                continue
            assert taken is not None
            status = wait_status(taken)
            stop = stops.decode(tid, status)
            if is_end(stop):
                self._queue.append((tid, status))
            return stop

    def _death_of(self, tid: int) -> stops.Stop | None:
        """The death of a thread that cannot stop any more. Returns None if a live thread has the id: another thread has
        taken over the id by an exec. Raises `TraceeDied` if no thread has the id now."""
        try:
            seen = os.waitid(os.P_PID, tid, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
        except ChildProcessError:
            # The old thread is released (fs/exec.c, de_thread), and the new thread cannot be found yet.
            raise TraceeDied(tid) from None
        if seen is None:
            # The kernel reports the death of a leader only after all other threads of the process are reaped.
            return stops.Killed(tid, signal.SIGKILL) if _is_zombie(tid) else None
        status = wait_status(seen)
        if tid == self._first.pid:
            self._first.hold()
        else:
            os.waitpid(tid, WALL)
            self._queue.append((tid, status))
        return stops.decode(tid, status)

    def _next_but_first(self, known: Iterable[int]) -> tuple[int, int] | None:
        """The implementation of `next` while the death of the first process is held."""
        first = self._first
        while True:
            if self._calls is not None and (stop := self._calls.stopped()) is not None:
                return stop
            # The order matters: if no tracee is alive when the stops are taken, all deaths are there to be taken.
            any_alive = self._take_stops()
            self._take_deaths()
            if self._queue or (not first.is_oldest and self._take_hidden(set(known))):
                return self._queue.popleft()
            if not first.reported and (status := first.death()) is not None:
                first.reported = True
                return first.pid, status
            is_last = not any_alive or all(tid == first.pid for tid in known)
            if is_last and self._is_gone(first):
                return None
            signal.sigwaitinfo({signal.SIGCHLD})

    def _take_all(self) -> bool:
        """Queue the stops of all stopped tracees, then all deaths except the death of the first process. Returns
        whether the queue contains any."""
        self._take_stops()
        self._take_deaths()
        return bool(self._queue)

    def _take_stops(self) -> bool:
        """Queue the stops of all stopped tracees. Returns whether any tracee is alive: a wait for stops alone fails if
        all tracees are dead (kernel/exit.c, wait_consider_task).

        The oldest tracee comes first. The kernel checks the newest tracee first (kernel/ptrace.c, __ptrace_link): if
        new threads are created all the time, it would never report the thread that is about to stop the creation of
        threads.
        """
        try:
            while (stopped := os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG | WALL)) is not None:
                self._queue.appendleft((stopped.si_pid, wait_status(stopped)))
        except ChildProcessError:
            return False
        return True

    def _take_deaths(self) -> None:
        """Queue the deaths of all tracees except the first process, the oldest tracee first."""
        dead: list[tuple[int, int]] = []
        with suppress(ChildProcessError):
            # The kernel returns the first process last; it must not be reaped.
            while (seen := self._dead()) is not None and seen.si_pid != self._first.pid:
                os.waitpid(seen.si_pid, WALL)
                dead.append((seen.si_pid, wait_status(seen)))
        self._queue.extend(reversed(dead))

    @staticmethod
    def _dead() -> os.waitid_result | None:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)

    def _take_hidden(self, known: set[int]) -> bool:
        """Queue the deaths of those tracees that are older than the process that is now the first one. Returns whether
        the queue contains any. A thread may be killed before an event has reported it. Such a thread must be reaped
        too, or its process can neither exit nor exec."""
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
        """Whether the held process is dead, or gone because another process has reaped it."""
        return not self.is_tracee(first.pid) or first.death() is not None
