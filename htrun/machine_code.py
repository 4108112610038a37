"""Makes a few bytes of htrun's own machine code callable."""

from __future__ import annotations

import ctypes
import mmap
import os

from htrun.errors import HtrunError


def executable(code: bytes) -> int:
    """The address of executable pages that hold ``code``. The pages are never writable: they map a file in memory.

    Raises `HtrunError` if no memory may be made executable (on a hardened kernel).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    descriptor = os.memfd_create("htrun-code", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, code)
        size = -(-len(code) // mmap.PAGESIZE) * mmap.PAGESIZE
        address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, descriptor, 0)
    finally:
        os.close(descriptor)
    if address == ctypes.c_void_p(-1).value:
        raise HtrunError(f"cannot run code of its own: {os.strerror(ctypes.get_errno())}")
    return int(address)
