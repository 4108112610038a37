"""While one thread traps densely, it and the tracer share a processor.

A trap wakes the tracer and then the tracee. On two processors each wake-up is an inter-processor interrupt to a
sleeping processor; on one it is a context switch, four times cheaper. The kernel's scheduler sees two threads that wake
each other and spreads them over idle processors each time, so it isn't enough that the tracer goes where the tracee is:
the tracee has to be kept there.

The guest is not to notice: it gets its processors back when it has been quiet for a moment, before a call of its own
that asks for them or sets them (caught by the channel's filter), and so do the threads it creates. What is left to see
is ``Cpus_allowed`` in ``/proc``, meanwhile, and the same asked by a process without a channel.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from htrun.intercept.guest import Thread

_RUN = 64
"""Traps of one thread, with none of another between, after which it is looked at."""
_DENSE_NS = 10_000_000
"""How fast a run must be for the thread to be kept: it spends a good part of its time in traps."""
_QUIET = 0.02
"""Seconds. A thread that has not trapped for that long is let go; at most twice as long passes."""
_PROCESSOR_FIELD = 36
"""Field 39 of /proc/TID/stat (proc_pid_stat(5)), counted from the field behind the command name, from 0."""


class Follow:
    """Keeps at most one thread beside the tracer. One instance, made and used by the tracer's main thread only."""

    def __init__(self) -> None:
        self._own = os.sched_getaffinity(0)
        self._tid = 0
        self._left = _RUN
        self._since = 0
        self._runs = 0
        self._seen = (0, 0)
        self._kept = 0
        self._processors: dict[int, set[int]] = {}
        """The processors that threads had that are or were kept: their children may have been created meanwhile."""
        signal.signal(signal.SIGALRM, self._tick)

    def trapped(self, thread: Thread) -> None:
        """A thread has trapped."""
        if thread.tid != self._tid:
            self._tid = thread.tid
            self._left = _RUN
            self._since = time.monotonic_ns()
            return
        self._left -= 1
        if not self._left:
            self._left = _RUN
            self._look(thread)

    def release(self) -> None:
        """Give the kept thread its processors back, and the tracer its own."""
        if not self._kept:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        with suppress(ProcessLookupError):
            os.sched_setaffinity(self._kept, self._processors[self._kept])
        os.sched_setaffinity(0, self._own)
        self._kept = 0
        self._tid = 0

    def processors_asked(self) -> None:
        """A guest is about to ask for or set a thread's processors."""
        self.release()
        self._processors.clear()

    def created(self, creator: int, tid: int) -> None:
        """A thread was created, with the processors that its creator had then."""
        if creator in self._processors:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(tid, self._processors[creator])

    def ended(self, tid: int) -> None:
        """A thread has ended."""
        if self._kept == tid:
            self.release()
        self._processors.pop(tid, None)

    def _look(self, thread: Thread) -> None:
        now = time.monotonic_ns()
        dense = now - self._since < _DENSE_NS
        self._since = now
        self._runs += 1
        # A guest with a filter of its own was given none that would catch its questions.
        if dense and self._kept != thread.tid and not thread.process.filtered:
            self._keep(thread.tid)

    def _keep(self, tid: int) -> None:
        self.release()
        processor = _processor_of(tid)
        try:
            allowed = os.sched_getaffinity(tid)
            if processor not in allowed or processor not in self._own:
                return
            os.sched_setaffinity(tid, {processor})
        except OSError:
            # It is gone, or a security module forbids it.
            return
        os.sched_setaffinity(0, {processor})
        self._processors[tid] = allowed
        self._kept = self._tid = tid
        signal.setitimer(signal.ITIMER_REAL, _QUIET, _QUIET)

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        now = (self._runs, self._left)
        if now == self._seen:
            self.release()
        self._seen = now


def _processor_of(tid: int) -> int:
    try:
        with open(f"/proc/{tid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[_PROCESSOR_FIELD])
    except OSError:
        return -1
