"""Finds out whether the other threads of an address space sleep while code is replaced.

A thread that sleeps in the kernel executes no code. When it runs again, it sees all changes that were made in the
meantime. So it needs no serializing barrier between two changes. QEMU has a thread that nearly always sleeps; without
this module, the first patch in each process of QEMU would wait for about 7 ms, until the kernel has registered a
process with several threads for such barriers.
"""

from __future__ import annotations

import os
from collections.abc import Collection

_MOST = 4
"""With at least this number of other threads, a barrier takes no longer than inspecting all of them."""
_RUNS_FIELD = 2


class Asleep:
    """Some threads that may sleep. They must be traced."""

    def __init__(self, threads: Collection[int]) -> None:
        """``threads``: the ids of the threads."""
        self._runs: dict[int, int] = {}
        self._known = len(threads) <= _MOST and all(self._sleeps(tid) for tid in threads)

    def still(self) -> bool:
        """Whether no thread has executed an instruction since this object was made. False if this is unknown."""
        self._known = self._known and all(_runs(tid) == runs for tid, runs in self._runs.items())
        return self._known

    def _sleeps(self, tid: int) -> bool:
        # The number is read first. If the thread is not on a processor afterwards, it can execute an instruction only
        # after this number has changed.
        runs = self._runs[tid] = _runs(tid)
        return runs > 0 and not _read(tid, "syscall").startswith((b"running", b"\n")) and _runs(tid) == runs


def _runs(tid: int) -> int:
    """The number of times that the thread was put on a processor (Documentation/scheduler/sched-stats.rst). 0 if it is
    unknown, because the thread is gone, or because the kernel does not count."""
    fields = _read(tid, "schedstat").split()
    return int(fields[_RUNS_FIELD]) if len(fields) > _RUNS_FIELD else 0


def _read(tid: int, name: str) -> bytes:
    """The content of a file in /proc/TID; a line feed if it cannot be read. The file ``syscall`` begins with
    ``running`` if the thread is on a processor or waits for one (proc_pid_syscall(5))."""
    try:
        file = os.open(f"/proc/{tid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b"\n"
    try:
        return os.read(file, 256)
    except OSError:
        return b"\n"
    finally:
        os.close(file)
