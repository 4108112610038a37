"""Checks, before the program starts, that the tracer can get the resources that it will need. Otherwise it would fail
later.

The tracer inherits the limits that are meant for the program (setrlimit(2)). It raises each limit that it may raise.
"""

from __future__ import annotations

import _thread
import mmap
import os

from htrun.channel.file import lift_file_size
from htrun.errors import HtrunError

_MAP_NORESERVE = 0x4000
"""From <asm-generic/mman-common.h>. Python has this constant only from 3.12 on."""
_DESCRIPTORS = 12
"""The largest number of files that are open at the same time, while modules are imported and outputs are written."""
_SPACE = 896 << 20
"""The size in bytes of the address space that htrun needs: for modules, the rings of some threads, and trampolines."""
_DATA = 320 << 20
"""The size in bytes of the private memory that htrun needs: for numpy and batches of events."""
_STACK = 2 << 20
"""The size in bytes of a thread's stack if there is no stack limit. Otherwise the default size is the stack limit
(pthread_attr_setstacksize(3))."""
_THREADS = 2
"""The number of threads in addition to the main thread: the drain, and the thread that waits for signals."""


def lift_limits() -> None:
    """Raise the limits of this process as far as is permitted."""
    # The import takes about 0.2 ms, for which the program waits.
    import resource

    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU):
        hard = resource.getrlimit(kind)[1]
        if kind != resource.RLIMIT_NOFILE and hard != resource.RLIM_INFINITY:
            try:
                resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            except (ValueError, OSError):
                resource.setrlimit(kind, (hard, hard))
        else:
            resource.setrlimit(kind, (hard, hard))
    lift_file_size()
    _thread.stack_size(_STACK)


def require_room() -> None:
    """Check that this process can get the resources that it will need. Raises `HtrunError` if it cannot."""
    _require_descriptors()
    _require_memory(_SPACE, mmap.PROT_READ, "address space", "ulimit -v")
    _require_memory(_DATA, mmap.PROT_READ | mmap.PROT_WRITE, "memory", "ulimit -d")
    _require_threads()


def has_address_space(size: int) -> bool:
    """Whether this process can get ``size`` bytes of address space in addition to the address space that it always
    needs."""
    try:
        mmap.mmap(-1, _SPACE + size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE, mmap.PROT_READ).close()
    except OSError:
        return False
    return True


def _require_descriptors() -> None:
    opened: list[int] = []
    try:
        while len(opened) < _DESCRIPTORS:
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise HtrunError(
            f"htrun needs {_DESCRIPTORS} open files, and can open only {len(opened)} ({error.strerror}); raise the "
            "limit (ulimit -n)"
        ) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _require_memory(size: int, protection: int, what: str, limit: str) -> None:
    try:
        mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE, protection).close()
    except OSError as error:
        raise HtrunError(
            f"htrun needs {size >> 20} MiB of {what}, and can't get them ({error.strerror}); raise the limit ({limit})"
        ) from None


def _require_threads() -> None:
    """Start as many threads as will be needed, and let them exit immediately. Raises `HtrunError` if this fails."""
    go_on = _thread.allocate_lock()
    ended = [_thread.allocate_lock() for _ in range(_THREADS)]

    def wait(mine: _thread.LockType) -> None:
        with go_on:
            mine.release()

    begun = 0
    with go_on:
        for lock in ended:
            lock.acquire()
            try:
                _thread.start_new_thread(wait, (lock,))
            except RuntimeError:
                break
            begun += 1
    for lock in ended[:begun]:
        lock.acquire()
    if begun < _THREADS:
        raise HtrunError(
            f"htrun needs {_THREADS} threads in addition to the program's, and can start only {begun}; raise the limit "
            "of processes (ulimit -u, or pids.max of the control group)"
        )
