"""Makes short pieces of htrun's own machine code callable."""

from __future__ import annotations

import ctypes
import mmap
import os

from htrun.errors import HtrunError


def executable(code: bytes) -> int:
    """The address of new executable pages that contain ``code``. The pages are never writable: they map a file in
    memory.

    Raises `HtrunError` if the kernel forbids executable memory, as a hardened kernel does.
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
        raise HtrunError(f"cannot run htrun's own machine code: {os.strerror(ctypes.get_errno())}")
    return int(address)
