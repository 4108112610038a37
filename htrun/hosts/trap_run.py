"""Counts consecutive traps of a thread, to find threads that trap very often. The machine code of `trap_wait` updates
the counter."""

from __future__ import annotations

import ctypes
import time

_SECOND = 1_000_000_000


class TrapRun(ctypes.Structure):
    """The current run of traps: traps of one thread, with no trap of another thread between them.

    ``length``: the number of traps after which the thread is checked. ``left``: the number of traps that remain until
    then. ``seconds``, ``nanoseconds``: the start of the run on CLOCK_MONOTONIC.
    """

    tid: int
    left: int
    seconds: int
    nanoseconds: int
    length: int

    _fields_ = [(name, ctypes.c_uint64) for name in ("tid", "left", "seconds", "nanoseconds", "length")]

    def begin(self, tid: int) -> None:
        """Begin a new run of thread ``tid``. Call this when the thread has trapped after another thread, or when its
        last run is complete."""
        self.tid, self.left = tid, self.length
        self.seconds, self.nanoseconds = divmod(time.monotonic_ns(), _SECOND)

    @property
    def began(self) -> int:
        """The start of the run in ns on CLOCK_MONOTONIC."""
        return self.seconds * _SECOND + self.nanoseconds
