"""Reads the signal masks of a thread from ``/proc/TID/status`` (proc_pid_status(5))."""

from __future__ import annotations

import os
import re
import signal
from typing import NamedTuple

_MOST = 4096
_FIELDS = re.compile(
    rb"SigPnd:\t(\w+)\n.*SigBlk:\t(\w+)\nSigIgn:\t(\w+)\nSigCgt:\t(\w+)\n",
    re.DOTALL,
)
_OF_FAULTS = (signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


def bit_of(number: int) -> int:
    """The bit of signal ``number`` in a mask."""
    return 1 << (number - 1)


SEGV_BIT = bit_of(signal.SIGSEGV)
_FAULT_BITS = sum(map(bit_of, _OF_FAULTS))


class SignalState(NamedTuple):
    """The signal masks of a thread. ``pending``: the signals that are pending for this thread alone."""

    pending: int
    blocked: int
    ignored: int
    caught: int

    @property
    def segv_is_default(self) -> bool:
        """Whether SIGSEGV kills the process."""
        return not (self.caught | self.ignored) & SEGV_BIT


_GONE = SignalState(pending=0, blocked=0, ignored=0, caught=0)


def signal_state(tid: int) -> SignalState:
    """The signal masks of a thread. All masks are empty if the thread is gone; its wait status will report the
    death."""
    try:
        file = os.open(f"/proc/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return _GONE
    try:
        found = _FIELDS.search(os.read(file, _MOST))
    except OSError:
        return _GONE
    finally:
        os.close(file)
    if found is None:
        return _GONE
    return SignalState(*(int(mask, 16) for mask in found.groups()))


def blocks_other_faults(mask: int) -> bool:
    """Whether a mask blocks the signals of all faults except SIGSEGV. If it does, the program has probably blocked
    SIGSEGV too, with a mask from sigfillset(3), and the kernel has unblocked it."""
    return mask & _FAULT_BITS == _FAULT_BITS
