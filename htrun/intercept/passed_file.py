"""Passes a file that htrun has open to a tracee that can't open it through htrun's ``/proc``, because the tracee
belongs to another user or has another ``/proc``.

The tracee makes a pair of sockets. htrun gets a descriptor of one socket (pidfd_getfd(2)), and sends the file through
this socket (unix(7), SCM_RIGHTS). The tracee receives the file from the other socket.
"""

from __future__ import annotations

import array
import ctypes
import os
import socket
import struct
from contextlib import closing

from htrun import hosts
from htrun.intercept.free_memory import PAGE
from htrun.tracee.inject import Injection
from htrun.tracee.memory import Memory

_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS = 0x22
_MSG_CMSG_CLOEXEC = 0x40000000
_SOCKETS = struct.Struct("<ii")
_IOVEC = struct.Struct("<QQ")
_MSGHDR = struct.Struct("<QQQQQQQ")
"""The fields of struct msghdr: the name and its length, the vectors and their number, the control data and its length,
and the flags."""
_CMSGHDR = struct.Struct("<QiiQ")
"""A control message: its length, level and type; then a descriptor; then padding to a multiple of eight bytes."""
_DESCRIPTOR_AT = 16
_AT_DATA, _AT_VECTOR, _AT_CONTROL, _AT_MESSAGE = 0x40, 0x80, 0xC0, 0x100
"""The offsets of data, vector, control data and message in the page. The two sockets are at the start of the page."""

_libc = ctypes.CDLL(None, use_errno=True)


def pass_file(injection: Injection, memory: Memory, pid: int, file: int, *, writable: bool) -> int:
    """Open htrun's ``file`` in process ``pid``. Returns the process's descriptor for the file. The descriptor is closed
    on exec. ``memory``: the memory of the process. Raises OSError."""
    page = injection.call("mmap", 0, PAGE, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, (1 << 64) - 1, 0)
    try:
        injection.call("socketpair", socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0, page)
        ours, theirs = _SOCKETS.unpack(memory.read_whole(page, _SOCKETS.size))
        try:
            _send(pid, ours, file, writable=writable)
            return _received(injection, memory, page, theirs)
        finally:
            injection.call("close", ours)
            injection.call("close", theirs)
    finally:
        injection.call("munmap", page, PAGE)


def _send(pid: int, descriptor: int, file: int, *, writable: bool) -> None:
    mode = os.O_RDWR if writable else os.O_RDONLY
    # The receiver gets the file in the mode in which it was opened. So htrun opens it again in the required mode.
    sent = os.open(f"/proc/self/fd/{file}", mode | os.O_CLOEXEC)
    try:
        with closing(socket.socket(fileno=_taken(pid, descriptor))) as end:
            end.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sent]))])
    finally:
        os.close(sent)


def _taken(pid: int, descriptor: int) -> int:
    """A descriptor of htrun's for the file that process ``pid`` has open as ``descriptor``."""
    process = os.pidfd_open(pid)
    try:
        taken = int(_libc.syscall(hosts.current().native.numbers["pidfd_getfd"], process, descriptor, 0))
    finally:
        os.close(process)
    if taken < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"pidfd_getfd of process {pid}: {os.strerror(error)}")
    return taken


def _received(injection: Injection, memory: Memory, page: int, descriptor: int) -> int:
    memory.write(page + _AT_VECTOR, _IOVEC.pack(page + _AT_DATA, 1))
    message = _MSGHDR.pack(0, 0, page + _AT_VECTOR, 1, page + _AT_CONTROL, _CMSGHDR.size, 0)
    memory.write(page + _AT_MESSAGE, message)
    injection.call("recvmsg", descriptor, page + _AT_MESSAGE, _MSG_CMSG_CLOEXEC)
    return int.from_bytes(memory.read_whole(page + _AT_CONTROL + _DESCRIPTOR_AT, 4), "little")
