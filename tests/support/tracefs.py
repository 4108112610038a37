"""Makes a separate trace buffer of the host kernel for one test: an instance of tracefs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.support.requirements import missing


@contextmanager
def instance(name: str) -> Iterator[Path]:
    """A directory with its own ``trace_marker`` and ``trace``, on a separate mount. This needs root."""
    libc = ctypes.CDLL(None, use_errno=True)
    mountpoint = Path(mkdtemp())
    if libc.mount(b"tracefs", bytes(mountpoint), b"tracefs", 0, None) != 0:
        mountpoint.rmdir()
        missing(f"the right to mount tracefs ({os.strerror(ctypes.get_errno())})")
    buffer = mountpoint / "instances" / f"{name}-{os.getpid()}"
    try:
        buffer.mkdir()
        yield buffer
        buffer.rmdir()
    finally:
        libc.umount2(bytes(mountpoint), 0)
        mountpoint.rmdir()
