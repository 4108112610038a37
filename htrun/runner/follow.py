"""While threads stop densely, they and the tracer share a processor.

A stop wakes the tracer and then the tracee. On two processors each wake-up is an inter-processor interrupt to a
sleeping processor; on one it is a context switch, four times cheaper. The kernel's scheduler sees two threads that wake
each other and spreads them over idle processors each time, so moving the tracer to the tracee's processor is not
enough: the tracee must be kept there, too.

Of threads that trap, at most one is kept: the others may do much between their traps. Each thread that makes enough
recorded calls is kept, and so are the processes that it creates, since most make a few dozen
calls and exit.

The guest must not notice: a thread gets its processors back when it has been quiet for a moment, and before a call of
its own that asks for them or sets them (a filter stops it there), and so do the threads that it creates. Meanwhile,
``Cpus_allowed`` in ``/proc`` shows it, and so does the same call by a process without a channel. A thread that is not
where htrun has put it was moved by somebody else (taskset, a job scheduler), and stays there.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from htrun.hosts.trap_run import TrapRun
    from htrun.intercept.guest import Thread

_P = ParamSpec("_P")

_RUN = 64
"""Traps of one thread, with none of another between, after which it is looked at."""
_DENSE_NS = 10_000_000
"""How fast a run of traps must be for the thread to be kept: so fast that the thread spends much of its time in
traps."""
CALL_STOPS = 16
"""Stops of one thread for recorded calls after which it is looked at."""
_DENSE_CALLS_NS = 4_000_000
"""How fast those must be."""
_MANY_STOPS = 1 << 30
"""Stops of a thread that is kept: it need not be looked at."""
_QUIET = 0.02
"""Seconds. A thread that has hardly stopped for this long is released, after at most twice this time."""
_FEW_STOPS = 8
"""In that time."""
_PROCESSOR_FIELD = 36
"""Field 39 of /proc/TID/stat (proc_pid_stat(5)), counted from the field after the command name, from 0."""


class CallStops(Protocol):
    """Counts the stops of threads for recorded calls, down from a number."""

    def stops_left(self, tid: int) -> int:
        """Stops until `Follow.ran` is called with the thread."""

    def set_stops_left(self, tid: int, count: int) -> None:
        """Count down from ``count``."""


@dataclass(slots=True)
class _Kept:
    """``processors``: those that the thread had. ``left``, ``traps``: what was counted when it was last looked at."""

    processors: set[int]
    left: int
    traps: int


def _undisturbed(method: Callable[Concatenate[Follow, _P], None]) -> Callable[Concatenate[Follow, _P], None]:
    """Meanwhile, the clock, which may tick between any two steps of the tracer's main thread, does nothing."""

    @functools.wraps(method)
    def undisturbed(self: Follow, /, *arguments: _P.args, **more: _P.kwargs) -> None:
        before, self.busy = self.busy, True
        try:
            method(self, *arguments, **more)
        finally:
            self.busy = before

    return undisturbed


class Follow:
    """Keeps threads beside the tracer. One instance, made and used by the tracer's main thread only."""

    def __init__(self) -> None:
        self.calls: CallStops | None = None
        """None where no calls are recorded."""
        self.busy = False
        self._own = os.sched_getaffinity(0)
        self._processor = -1
        self._used: set[int] = set()
        """Each processor that a thread was ever kept on."""
        self._kept: dict[int, _Kept] = {}
        self._runs = 0
        self._looked_at: dict[int, int] = {}
        self._processors: dict[int, set[int]] = {}
        """The processors that threads had that are or were kept: their children may have been created meanwhile."""
        signal.signal(signal.SIGALRM, self._tick)

    @functools.cached_property
    def run(self) -> TrapRun:
        """The last traps in a row of one thread."""
        from htrun.hosts.trap_run import TrapRun

        return TrapRun(length=_RUN, left=_RUN)

    def trapped(self, thread: Thread) -> None:
        """A thread has trapped."""
        run = self.run
        if thread.tid != run.tid:
            run.begin(thread.tid)
            return
        run.left -= 1
        if not run.left:
            self._look(thread)

    @_undisturbed
    def ran(self, tid: int) -> None:
        """A thread has stopped for the last of its allotted number of recorded calls, and is still stopped."""
        now = time.monotonic_ns()
        before, self._looked_at[tid] = self._looked_at.get(tid), now
        if tid not in self._kept and (before is None or now - before < _DENSE_CALLS_NS):
            self._keep(tid)
        self._count_anew(tid)

    @_undisturbed
    def release(self) -> None:
        """Give all kept threads their processors back, and the tracer its own."""
        for tid in list(self._kept):
            self._let_go(tid)

    @_undisturbed
    def processors_asked(self) -> None:
        """A guest is about to ask for or set a thread's processors."""
        self.release()
        self._processors.clear()

    @_undisturbed
    def created(self, creator: int, tid: int) -> None:
        """A thread was created, with the processors that its creator had then."""
        if creator not in self._processors:
            return
        if self.calls is not None and creator in self._kept:
            self._kept[tid] = _Kept(self._processors[creator], 0, 0)
            self._processors[tid] = self._processors[creator]
            return
        self._give_back(tid, self._processors[creator])

    @_undisturbed
    def moved(self, former: int, tid: int) -> None:
        """An exec has changed the id of thread ``former`` to ``tid``."""
        if former == tid:
            return
        self.ended(tid)
        if former in self._processors:
            self._processors[tid] = self._processors.pop(former)
        if former in self._kept:
            self._kept[tid] = self._kept.pop(former)

    @_undisturbed
    def ended(self, tid: int) -> None:
        """A thread has ended. Its id may be another's by now."""
        if tid in self._kept:
            self._forget(tid)
        self._processors.pop(tid, None)
        self._looked_at.pop(tid, None)

    @_undisturbed
    def _look(self, thread: Thread) -> None:
        began = self.run.began
        self.run.begin(thread.tid)
        dense = self.run.began - began < _DENSE_NS
        self._runs += 1
        # htrun added no filter that would stop such queries to a guest with a filter of its own.
        if dense and thread.tid not in self._kept and not thread.process.filtered:
            self.release()
            self._keep(thread.tid)

    def _keep(self, tid: int) -> None:
        processor = self._processor if self._kept else _processor_of(tid)
        try:
            allowed = os.sched_getaffinity(tid)
            if processor not in allowed or processor not in self._own:
                return
            os.sched_setaffinity(tid, {processor})
        except OSError:
            # It is gone, or a security module forbids it.
            return
        if not self._kept:
            os.sched_setaffinity(0, {processor})
            self._processor = processor
            self._used.add(processor)
            signal.setitimer(signal.ITIMER_REAL, _QUIET, _QUIET)
        self._processors[tid] = allowed
        self._kept[tid] = _Kept(allowed, 0, self._traps_of(tid))

    def _let_go(self, tid: int) -> None:
        self._give_back(tid, self._kept[tid].processors)
        self._forget(tid)
        self._count_anew(tid)

    def _forget(self, tid: int) -> None:
        del self._kept[tid]
        if not self._kept:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._give_back(0, self._own)
            self._own = os.sched_getaffinity(0)
            self.run.tid = 0

    def _give_back(self, tid: int, processors: set[int]) -> None:
        """Let a thread run where it could before, if it is where htrun has put it."""
        with suppress(ProcessLookupError):
            now = os.sched_getaffinity(tid)
            if len(now) == 1 and now <= self._used:
                os.sched_setaffinity(tid, processors)

    def _count_anew(self, tid: int) -> None:
        if self.calls is None:
            return
        kept = self._kept.get(tid)
        left = CALL_STOPS if kept is None else _MANY_STOPS
        self.calls.set_stops_left(tid, left)
        if kept is not None:
            kept.left = left

    def _traps_of(self, tid: int) -> int:
        return self._runs * _RUN - self.run.left if tid == self.run.tid else 0

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        # On a busy machine the clock may tick again before this has ended.
        if not self.busy:
            self._let_quiet_go()

    @_undisturbed
    def _let_quiet_go(self) -> None:
        for tid, kept in list(self._kept.items()):
            traps, left = self._traps_of(tid), self.calls.stops_left(tid) if self.calls is not None else 0
            quiet = traps == kept.traps and abs(kept.left - left) < _FEW_STOPS
            kept.traps, kept.left = traps, left
            if quiet:
                self._let_go(tid)


def _processor_of(tid: int) -> int:
    try:
        with open(f"/proc/{tid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[_PROCESSOR_FIELD])
    except OSError:
        return -1
