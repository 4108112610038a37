"""A count that the machine code of `trap_wait` keeps, by which threads are found that trap densely."""

from __future__ import annotations

import ctypes
import time

_SECOND = 1_000_000_000


class TrapRun(ctypes.Structure):
    """Traps of one thread with none of another between them.

    ``left``: how many of ``length`` traps are left until the thread is checked; ``seconds``, ``nanoseconds``:
    when the run began, CLOCK_MONOTONIC.
    """

    tid: int
    left: int
    seconds: int
    nanoseconds: int
    length: int

    _fields_ = [(name, ctypes.c_uint64) for name in ("tid", "left", "seconds", "nanoseconds", "length")]

    def begin(self, tid: int) -> None:
        """Thread ``tid`` has trapped after another, or a run of its own is over."""
        self.tid, self.left = tid, self.length
        self.seconds, self.nanoseconds = divmod(time.monotonic_ns(), _SECOND)

    @property
    def began(self) -> int:
        """When the run began: CLOCK_MONOTONIC, ns."""
        return self.seconds * _SECOND + self.nanoseconds
