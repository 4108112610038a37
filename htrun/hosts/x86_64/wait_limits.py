"""Finds the time limit of a call that the kernel does not restart, and the result of the call when the time is over.

These calls are the calls with a relative time limit in signal(7), "Interruption of system calls and library functions
by stop signals". The kernel does not show how much time is left.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import NamedTuple

from htrun.hosts.calls import Limit

_SECOND, _MILLISECOND = 1_000_000_000, 1_000_000
_SO_RCVTIMEO, _SO_SNDTIMEO = 20, 21
_PIDFD_GETFD = 438
_EXT_ARG = 8
"""IORING_ENTER_EXT_ARG (<linux/io_uring.h>): the fifth argument points to a structure that contains the limit."""
_EXT_ARG_TIME = 16


class LimitKind(Enum):
    """The location of a call's time limit."""

    MILLISECONDS = "an argument in ms; negative for no limit"
    TIME = "a struct timespec that an argument points to"
    OLD_TIME = "a struct timespec of 32-bit words that an argument points to"
    RING = "a structure of io_uring_enter(2)"
    RECEIVE = "the socket's SO_RCVTIMEO"
    SEND = "the socket's SO_SNDTIMEO"


class Rule(NamedTuple):
    """The limit of one call. ``argument``: the index of the argument that leads to the limit. ``result``: the result of
    the call when the time is over."""

    kind: LimitKind
    argument: int
    result: int


_RECEIVES, _SENDS = Rule(LimitKind.RECEIVE, 0, -errno.EAGAIN), Rule(LimitKind.SEND, 0, -errno.EAGAIN)
_CONNECTS = Rule(LimitKind.SEND, 0, -errno.EINPROGRESS)
_EPOLL, _EPOLL_TIME = Rule(LimitKind.MILLISECONDS, 3, 0), Rule(LimitKind.TIME, 3, 0)
_RING = Rule(LimitKind.RING, 4, -errno.ETIME)
RULES = {
    64: {
        **dict.fromkeys(
            (0, 19, 45, 47, 43, 288, 299), _RECEIVES
        ),  # read readv recvfrom recvmsg accept accept4 recvmmsg
        **dict.fromkeys((1, 20, 44, 46, 307), _SENDS),  # write writev sendto sendmsg sendmmsg
        42: _CONNECTS,
        128: Rule(LimitKind.TIME, 2, -errno.EAGAIN),  # rt_sigtimedwait
        208: Rule(LimitKind.TIME, 4, 0),  # io_getevents
        333: Rule(LimitKind.TIME, 4, 0),  # io_pgetevents
        220: Rule(LimitKind.TIME, 3, -errno.EAGAIN),  # semtimedop
        232: _EPOLL,
        281: _EPOLL,  # epoll_pwait
        426: _RING,
        441: _EPOLL_TIME,  # epoll_pwait2
    },
    32: {
        **dict.fromkeys((3, 145, 371, 372, 364, 337), _RECEIVES),
        **dict.fromkeys((4, 146, 369, 370, 345), _SENDS),
        362: _CONNECTS,
        177: Rule(LimitKind.OLD_TIME, 2, -errno.EAGAIN),
        421: Rule(LimitKind.TIME, 2, -errno.EAGAIN),
        247: Rule(LimitKind.OLD_TIME, 4, 0),
        385: Rule(LimitKind.OLD_TIME, 4, 0),
        416: Rule(LimitKind.TIME, 4, 0),
        420: Rule(LimitKind.TIME, 3, -errno.EAGAIN),
        256: _EPOLL,
        319: _EPOLL,
        426: _RING,
        441: _EPOLL_TIME,
    },
}
"""The rules, by the bits of the interface (64 or 32) and the call's number (syscall_64.tbl, syscall_32.tbl)."""
_SOCKETCALL, _IPC, _SEMTIMEDOP = 102, 117, 4
"""The numbers of two old 32-bit calls that combine many calls, and the subcall semtimedop of the second (ipc(2))."""
_SOCKETCALLS = {
    **dict.fromkeys((5, 10, 12, 17, 18, 19), _RECEIVES),  # accept recv recvfrom recvmsg accept4 recvmmsg
    **dict.fromkeys((9, 11, 16, 20), _SENDS),  # send sendto sendmsg sendmmsg
    3: _CONNECTS,
}
"""The rules for socketcall(2), by its first argument."""


def limit_of(
    process: int, bits: int, number: int, arguments: Sequence[int], read: Callable[[int, int], bytes]
) -> Limit | None:
    """The time limit of a call that a thread of ``process`` has made; None if there is no limit, or if the limit is
    unknown. ``read``: reads the memory of the process, by address and length."""
    try:
        if bits == 32 and number == _SOCKETCALL:
            # The second argument points to the arguments of the real call. The first of these is the socket.
            rule = _SOCKETCALLS.get(arguments[0])
            arguments = [int.from_bytes(read(arguments[1], 4), "little")]
        elif bits == 32 and number == _IPC:
            rule = Rule(LimitKind.OLD_TIME, 5, -errno.EAGAIN) if arguments[0] & 0xFFFF == _SEMTIMEDOP else None
        else:
            rule = RULES[bits].get(number)
        if rule is None:
            return None
        duration = _duration(process, rule, arguments, read)
    except OSError:
        return None
    return None if duration is None else Limit(duration, rule.result)


def _duration(process: int, rule: Rule, arguments: Sequence[int], read: Callable[[int, int], bytes]) -> int | None:
    value = arguments[rule.argument]
    match rule.kind:
        case LimitKind.MILLISECONDS:
            milliseconds = ctypes.c_int(value & 0xFFFFFFFF).value
            return None if milliseconds < 0 else milliseconds * _MILLISECOND
        case LimitKind.TIME:
            return _time("=qq", value, read)
        case LimitKind.OLD_TIME:
            return _time("=ii", value, read)
        case LimitKind.RING:
            if not arguments[3] & _EXT_ARG:
                return None
            return _time("=qq", int.from_bytes(read(value + _EXT_ARG_TIME, 8), "little"), read)
        case LimitKind.RECEIVE:
            return _of_socket(process, value, _SO_RCVTIMEO)
        case LimitKind.SEND:
            return _of_socket(process, value, _SO_SNDTIMEO)


def _time(layout: str, address: int, read: Callable[[int, int], bytes]) -> int | None:
    if not address:
        return None
    seconds, nanoseconds = struct.unpack(layout, read(address, struct.calcsize(layout)))
    return int(seconds * _SECOND + nanoseconds)


def _of_socket(process: int, descriptor: int, option: int) -> int | None:
    """The value of a time option of another process's socket. Raises OSError if the descriptor cannot be copied, or is
    not a socket."""
    import socket

    handle = os.pidfd_open(process)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copy = libc.syscall(_PIDFD_GETFD, handle, ctypes.c_int(descriptor & 0xFFFFFFFF), 0)
    finally:
        os.close(handle)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    try:
        # The family and the type are given, since otherwise Python would ask the socket for its family and its type.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, copy) as found:
            seconds, microseconds = struct.unpack("=qq", found.getsockopt(socket.SOL_SOCKET, option, 16))
    except OSError:
        with suppress(OSError):
            os.close(copy)
        raise
    duration = int(seconds * _SECOND + microseconds * 1000)
    return duration or None
