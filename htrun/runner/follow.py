"""Keeps a thread that stops often on the tracer's processor.

A stop wakes the tracer, and then the tracee. On two processors each wake-up is an inter-processor interrupt to a
sleeping processor. On one processor it is a context switch, which takes a quarter of the time. The kernel's scheduler
spreads two threads that wake each other over idle processors each time, so it is not enough to move the tracer to the
tracee's processor: the tracee must be kept there, too.

At most one of the threads that trap is kept on the tracer's processor, since the others may do much work between their
traps. But every thread that makes enough recorded calls is kept on the tracer's processor, and so is every process that
such a thread creates, since most processes make a few dozen calls and exit.

The guest must not notice this. So a thread may use its former processors again when it has made only a few stops for a
while. The same happens before a call that queries or sets processors, at which a filter stops the thread. Threads that
it creates may also use its former processors. Meanwhile ``Cpus_allowed`` in ``/proc`` shows the single processor, and
so does a query by a process without a channel. A thread that is no longer on the processor where htrun has put it was
moved by another program (taskset, a job scheduler), and is not moved again.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from htrun.hosts.trap_run import TrapRun
    from htrun.intercept.guest import Thread

_P = ParamSpec("_P")

_RUN = 64
"""The number of consecutive traps of one thread, without a trap of another thread, after which the thread may be
kept."""
_DENSE_NS = 10_000_000
"""A thread is kept if `_RUN` consecutive traps take less than this time, in nanoseconds. Such a thread spends much of
its time in traps."""
CALL_STOPS = 16
"""The number of stops for recorded calls after which a thread may be kept."""
_DENSE_CALLS_NS = 4_000_000
"""A thread is kept if `CALL_STOPS` stops take less than this time, in nanoseconds."""
_MANY_STOPS = 1 << 30
"""The count of stops that is set for a kept thread, so large that it never reaches 0."""
_QUIET = 0.02
"""The interval, in seconds, at which kept threads are checked. A thread that has made only a few stops in an interval
is released."""
_FEW_STOPS = 8
"""A thread is released after an interval without a trap and with fewer than this number of stops for recorded calls."""
_PROCESSOR_FIELD = 36
"""Field 39 of /proc/TID/stat (proc_pid_stat(5)), counted from the field after the command name, from 0."""


class CallStops(Protocol):
    """Counts the stops that threads make for recorded calls, from a set number down to 0."""

    def stops_left(self, tid: int) -> int:
        """The number of stops until `Follow.ran` is called for the thread."""

    def set_stops_left(self, tid: int, count: int) -> None:
        """Set the number of stops until `Follow.ran` is called for the thread."""


class _Kept:
    """A thread that is kept on the tracer's processor. ``processors``: its former processors. ``left``, ``traps``: its
    counts of stops and traps at the last check."""

    __slots__ = ("left", "processors", "traps")

    def __init__(self, processors: set[int], left: int, traps: int) -> None:
        self.processors = processors
        self.left = left
        self.traps = traps


def _undisturbed(method: Callable[Concatenate[Follow, _P], None]) -> Callable[Concatenate[Follow, _P], None]:
    """Disable the timer's handler during ``method``, since the timer may expire at any moment."""

    @functools.wraps(method)
    def undisturbed(self: Follow, /, *arguments: _P.args, **more: _P.kwargs) -> None:
        before, self.busy = self.busy, True
        try:
            method(self, *arguments, **more)
        finally:
            self.busy = before

    return undisturbed


class Follow:
    """Keeps threads on the tracer's processor. One instance, made and used only by the tracer's main thread."""

    def __init__(self) -> None:
        self.calls: CallStops | None = None
        """The counter of stops for recorded calls; None if no calls are recorded."""
        self.busy = False
        self._own = os.sched_getaffinity(0)
        self._processor = -1
        self._used: set[int] = set()
        """All processors on which a thread has ever been kept."""
        self._kept: dict[int, _Kept] = {}
        self._runs = 0
        self._looked_at: dict[int, int] = {}
        self._processors: dict[int, set[int]] = {}
        """The former processors of each thread that is or was kept. A child may have been created while the thread was
        kept."""
        signal.signal(signal.SIGALRM, self._tick)

    @functools.cached_property
    def run(self) -> TrapRun:
        """The current run of consecutive traps of one thread."""
        from htrun.hosts.trap_run import TrapRun

        return TrapRun(length=_RUN, left=_RUN)

    def trapped(self, thread: Thread) -> None:
        """Count a trap of a thread."""
        run = self.run
        if thread.tid != run.tid:
            run.begin(thread.tid)
            return
        run.left -= 1
        if not run.left:
            self._look(thread)

    @_undisturbed
    def ran(self, tid: int) -> None:
        """Decide whether to keep a thread that has made the number of stops for recorded calls that was set for it. The
        thread is still stopped."""
        now = time.monotonic_ns()
        before, self._looked_at[tid] = self._looked_at.get(tid), now
        if tid not in self._kept and (before is None or now - before < _DENSE_CALLS_NS):
            self._keep(tid)
        self._count_anew(tid)

    @_undisturbed
    def release(self) -> None:
        """Give all kept threads, and the tracer, their former processors back."""
        for tid in list(self._kept):
            self._let_go(tid)

    @_undisturbed
    def processors_asked(self) -> None:
        """Release all threads: a guest is about to query or set a thread's processors."""
        self.release()
        self._processors.clear()

    @_undisturbed
    def created(self, creator: int, tid: int) -> None:
        """Handle a new thread. It has inherited the processors that its creator had when it was created."""
        if creator not in self._processors:
            return
        if self.calls is not None and creator in self._kept:
            self._kept[tid] = _Kept(self._processors[creator], 0, 0)
            self._processors[tid] = self._processors[creator]
            return
        self._give_back(tid, self._processors[creator])

    @_undisturbed
    def moved(self, former: int, tid: int) -> None:
        """Note that an exec has changed the id of thread ``former`` to ``tid``."""
        if former == tid:
            return
        self.ended(tid)
        if former in self._processors:
            self._processors[tid] = self._processors.pop(former)
        if former in self._kept:
            self._kept[tid] = self._kept.pop(former)

    @_undisturbed
    def ended(self, tid: int) -> None:
        """Forget a thread that has ended. Another thread may already have its id."""
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
        # htrun adds no filters to a guest that has its own filter, so the guest's queries of processors would not stop.
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
            # The thread is gone, or a security module forbids the change.
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
        """Give a thread its former ``processors`` back, if it is still on the processor where htrun has put it."""
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
        # On a busy machine the timer may expire again before this handler has returned.
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
