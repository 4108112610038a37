"""The tracer's thread follows the processor of the thread that traps.

A trap wakes the tracer and then the tracee. On two processors each wake-up is an inter-processor interrupt to a
sleeping processor; on one it is a context switch, four times cheaper. So while a thread traps often, htrun runs where
it runs. Nothing of the guest is pinned.
"""

from __future__ import annotations

import os

_LOOK_EVERY = 64
"""Traps between two looks at the trapping thread's processor (a read of /proc costs as much as a trap)."""
_PROCESSOR_FIELD = 36
"""Field 39 of /proc/TID/stat (proc_pid_stat(5)), counted from the field behind the command name, from 0."""


class Follow:
    """Counts traps and moves the calling thread. One instance, used by the tracer's thread only."""

    def __init__(self) -> None:
        self._allowed = os.sched_getaffinity(0)
        self._left = 1
        self._here = -1

    def trapped(self, tid: int) -> None:
        """A thread has trapped."""
        self._left -= 1
        if self._left:
            return
        self._left = _LOOK_EVERY
        processor = self._processor_of(tid)
        if processor != self._here and processor in self._allowed:
            os.sched_setaffinity(0, {processor})
            self._here = processor

    @staticmethod
    def _processor_of(tid: int) -> int:
        try:
            with open(f"/proc/{tid}/stat", "rb") as stat:
                return int(stat.read().rpartition(b")")[2].split()[_PROCESSOR_FIELD])
        except OSError:
            return -1
