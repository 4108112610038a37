"""Opens the kernel's event for a thread. (perf_event_open(2), <linux/perf_event.h>.)

One event records everything: it counts page faults, each of which is a sample, and its flag ``context_switch`` also
makes the kernel write a record when the thread leaves or gets a processor. Both need no privilege if the event excludes
page faults inside the kernel (``exclude_kernel``). Events that new threads inherit cannot have a ring, so each thread
has its own event.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import time
from pathlib import Path

from htrun import hosts
from htrun.errors import HtrunError

_TYPE_SOFTWARE = 1
_COUNT_SW_PAGE_FAULTS = 2
_SAMPLE_TIME, _SAMPLE_ADDR, _SAMPLE_CPU = 1 << 2, 1 << 3, 1 << 7
_EXCLUDE_KERNEL, _WATERMARK, _SAMPLE_ID_ALL = 1 << 5, 1 << 14, 1 << 18
_USE_CLOCKID, _CONTEXT_SWITCH = 1 << 25, 1 << 26
_FORMAT_LOST = 1 << 4
_FLAG_FD_CLOEXEC = 1 << 3
_SPARE = 32
"""The number of descriptors below the limit that are left for the other parts of htrun (`htrun.runner.limits`)."""
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    """struct perf_event_attr, up to PERF_ATTR_SIZE_VER4. The bit field is ``flags``."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_watermark", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
        ("config2", ctypes.c_uint64),
        ("branch_sample_type", ctypes.c_uint64),
        ("sample_regs_user", ctypes.c_uint64),
        ("sample_stack_user", ctypes.c_uint32),
        ("clockid", ctypes.c_int32),
        ("sample_regs_intr", ctypes.c_uint64),
    ]


def open_event(tid: int, wake_at: int) -> int:
    """Open the event for thread ``tid``; 0 is the calling thread. Returns the descriptor.

    ``wake_at``: the descriptor becomes readable when the ring contains so many bytes. Raises OSError.
    """
    try:
        return _open(tid, wake_at, _FORMAT_LOST)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # PERF_FORMAT_LOST came with Linux 6.0.
        return _open(tid, wake_at, 0)


def lost_records(descriptor: int) -> int:
    """The number of records of an event that did not fit into its ring; 0 if the kernel does not report it."""
    values = memoryview(os.read(descriptor, 16)).cast("Q")
    return values[1] if len(values) > 1 else 0


def _open(tid: int, wake_at: int, read_format: int) -> int:
    attributes = _Attributes(
        type=_TYPE_SOFTWARE,
        size=ctypes.sizeof(_Attributes),
        config=_COUNT_SW_PAGE_FAULTS,
        sample_period=1,
        sample_type=_SAMPLE_TIME | _SAMPLE_ADDR | _SAMPLE_CPU,
        read_format=read_format,
        flags=_EXCLUDE_KERNEL | _WATERMARK | _SAMPLE_ID_ALL | _USE_CLOCKID | _CONTEXT_SWITCH,
        wakeup_watermark=wake_at,
        clockid=time.CLOCK_MONOTONIC_RAW,
    )
    number = hosts.current().native.numbers["perf_event_open"]
    descriptor = int(_libc.syscall(number, ctypes.byref(attributes), tid, -1, -1, _FLAG_FD_CLOEXEC))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    # The kernel gives the lowest number that is free.
    if descriptor >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE:
        os.close(descriptor)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return descriptor


def require_events() -> None:
    """Check that this process can open the event of a thread. Raises `HtrunError` if it cannot."""
    try:
        os.close(open_event(0, 1))
    except OSError as error:
        raise HtrunError(f"--sched: {reason(error)}") from error


def reason(error: OSError) -> str:
    """Why the event or the ring of a thread could not be created, and what to do, on one line."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return (
                f"the kernel refuses perf_event_open (kernel.perf_event_paranoid is {_paranoid()}); set it to 2 or "
                "less (sysctl kernel.perf_event_paranoid=2), and allow perf_event_open in the container or sandbox, or "
                "leave out --sched"
            )
        case errno.ENOSYS | errno.ENOENT | errno.EOPNOTSUPP:
            return (
                "this kernel has no perf_event_open, or a sandbox hides it (CONFIG_PERF_EVENTS is needed, and Linux "
                "4.3 or later); leave out --sched"
            )
        case errno.EMFILE | errno.ENFILE:
            return "htrun needs an open file for each thread; raise the limit (ulimit -n), or leave out --sched"
        case errno.ENOBUFS:
            return (
                "there are too many threads for the memory that htrun may lock; raise the limit (ulimit -l, or sysctl "
                "kernel.perf_event_mlock_kb)"
            )
        case _:
            return f"perf_event_open fails: {error.strerror}; leave out --sched"


def _paranoid() -> str:
    try:
        return _PARANOID.read_text().strip()
    except OSError:
        return "unknown"
