"""Handles the stops of recorded system calls in machine code: resume the thread, wait, read the facts of the call, and
write the record.

A recorded call stops twice, and a tracer in Python would spend most of the time in the interpreter (`trap_wait`). So
the machine code (call_wait.S) handles such stops one after another, without Python. It returns to Python for every
other stop, for a thread that it must not handle, when there is no room for records, and when the thread that takes the
records sleeps.

A stop that was found in another way can be recorded by calling the methods one by one.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from typing import TYPE_CHECKING

from htrun.events.definitions import DEFINITIONS, USER_SYSCALL, USER_SYSCALL_RET, USER_SYSCALL_TEXT
from htrun.hosts.call_plans import MOST_STRING
from htrun.hosts.stops import CallRecording, Entry, State
from htrun.hosts.x86_64.fastpath.call_wait_code import CODE
from htrun.hosts.x86_64.fastpath.thread_table import thread_table
from htrun.machine_code import executable
from htrun.tracee.ptrace import MOST_THREADS, SIGINFO_SIZE
from htrun.tracee.stops import WALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.events.call_texts import Text
    from htrun.events.definitions import Definition
    from htrun.tracee.stopped import Stopped

_ANY_CHANGE = os.WEXITED | os.WSTOPPED | os.WNOWAIT | WALL
_STOPS_NOW = os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL


class _Block(ctypes.Structure):
    """struct Block of call_wait.S."""

    _fields_ = [
        ("tid", ctypes.c_uint64),
        ("request", ctypes.c_uint64),
        ("options", ctypes.c_uint64),
        ("found", ctypes.c_int64),
        ("status", ctypes.c_uint64),
        ("info", ctypes.c_uint64),
        ("call", ctypes.c_uint64),
        ("threads", ctypes.c_uint64),
        ("most_threads", ctypes.c_uint64),
        ("control", ctypes.c_uint64),
        ("entries", ctypes.c_uint32),
        ("returns", ctypes.c_uint32),
        ("entry_kind", ctypes.c_uint32),
        ("return_kind", ctypes.c_uint32),
        ("ran", ctypes.c_uint64),
        ("plans", ctypes.c_uint64),
        ("ticks", ctypes.c_uint64),
        ("text_kind", ctypes.c_uint64),
        ("scratch", ctypes.c_uint64),
        ("total", ctypes.c_uint64),
        ("wanted", ctypes.c_uint64),
        ("local", ctypes.c_uint64),
        ("local_size", ctypes.c_uint64),
        ("remote", ctypes.c_uint64),
        ("remote_size", ctypes.c_uint64),
        ("next", ctypes.c_uint64),
    ]


_THREAD = struct.Struct("<IIII")
_THREAD_SIZE = 32
"""The size of a thread's entry in the table, in bytes. An entry contains the number of the thread's stream plus one (0
if the number is unknown), the `State` of the thread, and, during a call, the interface and the number of the call.
`_STOPS_AT` is the offset of the number of stops until ``ran`` is called. `_POINTER_AT` is the offset of the address at
which the kernel writes data for the call."""
_FIELD, _POINTER = struct.Struct("<I"), struct.Struct("<Q")
_STREAM_AT, _STATE_AT, _STOPS_AT, _POINTER_AT = 0, 4, 16, 24
_CALL_INFO = struct.Struct("<B3xI16x7Q")
"""struct ptrace_syscall_info (<linux/ptrace.h>, Linux 5.3): kind of stop, interface, number or result, arguments."""
_CALL_INFO_SIZE = 88
_EXIT = 2
"""PTRACE_SYSCALL_INFO_EXIT."""
_WORD = (1 << 64) - 1


class CallWait:
    """Waits for any tracee, and records the calls at which a filter stops with `seccomp.RECORDED`."""

    def __init__(self, recording: CallRecording) -> None:
        self._events = recording.events
        self._entries = recording.entries
        self._returns = recording.returns
        self._clock = recording.clock
        self._make_room = recording.make_room
        self._wake = recording.wake
        self._ran = recording.ran
        self._threads = thread_table(_THREAD_SIZE)
        self._info = ctypes.create_string_buffer(SIGINFO_SIZE)
        self._call = ctypes.create_string_buffer(_CALL_INFO_SIZE)
        self._block = _Block(
            info=ctypes.addressof(self._info),
            call=ctypes.addressof(self._call),
            threads=ctypes.addressof(ctypes.c_char.from_buffer(self._threads)),
            most_threads=MOST_THREADS if recording.in_one_go else 0,
            control=recording.events.address,
            entries=recording.entries,
            returns=recording.returns,
            entry_kind=DEFINITIONS.index(USER_SYSCALL),
            return_kind=DEFINITIONS.index(USER_SYSCALL_RET),
        )
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(executable(CODE))
        self._run = functools.partial(call, ctypes.c_void_p(ctypes.addressof(self._block)))

    def next(self) -> tuple[int, int | None]:
        """The next ``(tid, wait status)`` that the machine code does not handle. If the thread has died, the status is
        None, and the thread still has to be reaped.

        Raises ChildProcessError if there is no tracee.
        """
        while True:
            found, status = self._go_round(_ANY_CHANGE)
            self._wake_reader()
            self._report_who_ran()
            if found > 0:
                return found, status or None
            if found not in (0, -errno.EINTR):
                raise ChildProcessError(-found, os.strerror(-found))

    def stopped(self) -> tuple[int, int] | None:
        """Like `next`, but only for a stop that has already happened: it does not wait, and returns None if there is no
        stop."""
        while True:
            found, status = self._go_round(_STOPS_NOW)
            if found > 0:
                return found, status
            self._wake_reader()
            self._report_who_ran()
            # The thread for which the machine code has returned must still be resumed.
            if found != -errno.EINTR and not self._block.tid:
                return None

    def _go_round(self, options: int) -> tuple[int, int]:
        self._block.options = options
        self._run()
        return self._block.found, self._block.status

    def _wake_reader(self) -> None:
        """Wake the thread that takes the records, if it sleeps."""
        if self._events.idle:
            self._events.idle = False
            self._wake()

    def _report_who_ran(self) -> None:
        """Call ``ran`` for the thread that has made the number of stops set by `set_stops_left`, if there is such a
        thread."""
        tid, self._block.ran = self._block.ran, 0
        if tid:
            self._ran(tid)

    # The table of threads.

    def stream(self, tid: int) -> int | None:
        """The number of the thread's stream; None if it is unknown."""
        number: int = _FIELD.unpack_from(self._threads, tid * _THREAD_SIZE + _STREAM_AT)[0]
        return number - 1 if number else None

    def set_stream(self, tid: int, number: int | None) -> None:
        """Set the number of the thread's stream, for its records; None makes the number unknown."""
        _FIELD.pack_into(self._threads, tid * _THREAD_SIZE + _STREAM_AT, 0 if number is None else number + 1)

    def stops_left(self, tid: int) -> int:
        """The number of stops that the thread must still make until ``ran`` is called."""
        left: int = _FIELD.unpack_from(self._threads, tid * _THREAD_SIZE + _STOPS_AT)[0]
        return left

    def set_stops_left(self, tid: int, count: int) -> None:
        """Call ``ran`` when the thread has stopped ``count`` more times."""
        _FIELD.pack_into(self._threads, tid * _THREAD_SIZE + _STOPS_AT, count)

    def state(self, tid: int) -> State:
        """The state of the thread: whether it is in a recorded call."""
        return State(_FIELD.unpack_from(self._threads, tid * _THREAD_SIZE + _STATE_AT)[0])

    def forget(self, tid: int) -> None:
        """Forget a thread that is gone."""
        self._threads[tid * _THREAD_SIZE : (tid + 1) * _THREAD_SIZE] = bytes(_THREAD_SIZE)

    def call_of(self, tid: int) -> tuple[State, int, int]:
        """The state of the thread, and the interface and the number of the call that it is in."""
        _, state, arch, number = _THREAD.unpack_from(self._threads, tid * _THREAD_SIZE)
        return State(state), arch, number

    def set_call(self, tid: int, call: tuple[State, int, int]) -> None:
        """Note that the thread is now in ``call``, which `call_of` has returned for another thread. If that other
        thread was not in a call, this does nothing."""
        if call[0] is not State.OUTSIDE:
            struct.pack_into("<III", self._threads, tid * _THREAD_SIZE + _STATE_AT, *call)

    def read_texts(self, plans_32: bytes, plans_64: bytes) -> None:
        """Also record the texts that arguments point to. ``plans_32``, ``plans_64``: the plans (`call_plans`) for the
        calls of i386 and of x86-64, one for each number below `MOST_NUMBERS`."""
        self._plans = ctypes.create_string_buffer(plans_32 + plans_64)
        self._scratch = ctypes.create_string_buffer(MOST_STRING)
        self._block.text_kind = DEFINITIONS.index(USER_SYSCALL_TEXT)
        self._block.scratch = ctypes.addressof(self._scratch)
        self._block.plans = ctypes.addressof(self._plans)

    def pointer(self, tid: int) -> int:
        """The address at which the kernel writes data. It is an argument of the call that the thread is in.
        `set_pointer` or the machine code has stored this address."""
        pointer: int = _POINTER.unpack_from(self._threads, tid * _THREAD_SIZE + _POINTER_AT)[0]
        return pointer

    def set_pointer(self, tid: int, pointer: int) -> None:
        """Set the address at which the kernel writes data."""
        _POINTER.pack_into(self._threads, tid * _THREAD_SIZE + _POINTER_AT, pointer)

    # Steps for a single stop.

    def look(self, stopped: Stopped) -> Entry:
        """The call that a thread is about to make. A filter has stopped the thread before this call."""
        ticks = self._clock()
        _, arch, number, *arguments = self._facts(stopped)
        return Entry(ticks, arch, number, tuple(arguments))

    def enter(self, tid: int, call: Entry, texts: Sequence[Text] = ()) -> None:
        """Record the entry of a call by a thread whose stream is known. ``texts``: the texts that its arguments point
        to."""
        if self._returns:
            at = tid * _THREAD_SIZE + _STATE_AT
            struct.pack_into("<III", self._threads, at, State.IN_CALL, call.arch, call.number & 0xFFFFFFFF)
        if self._entries:
            self.append(tid, USER_SYSCALL, call, texts)
        self._count_stop(tid)

    def watch(self, tid: int) -> None:
        """Let Python also handle the return from the call that the thread is in."""
        if self.state(tid) is State.IN_CALL:
            _FIELD.pack_into(self._threads, tid * _THREAD_SIZE + _STATE_AT, State.IN_WATCHED_CALL)

    def has_returned(self, stopped: Stopped) -> bool:
        """Whether a stopped thread is after its call, rather than before it."""
        kind, *_ = self._facts(stopped)
        return kind == _EXIT

    def interface(self, stopped: Stopped) -> int:
        """The interface (AUDIT_ARCH_*) whose call numbers a stopped thread uses."""
        _, arch, *_ = self._facts(stopped)
        return arch

    def result_of(self, stopped: Stopped) -> Entry | None:
        """The return of a recorded call, if the thread is stopped after such a call; otherwise None."""
        state, arch, number = self.call_of(stopped.tid)
        if state is State.OUTSIDE:
            return None
        ticks = self._clock()
        kind, _, result, *_ = self._facts(stopped)
        return Entry(ticks, arch, number, (result,)) if kind == _EXIT else None

    def leave(self, tid: int, returned: Entry, texts: Sequence[Text] = ()) -> None:
        """Record the return of a call of a thread whose stream is known. ``returned``: the result of `result_of`.
        ``texts``: the texts that the kernel has written to the thread's memory."""
        _FIELD.pack_into(self._threads, tid * _THREAD_SIZE + _STATE_AT, State.OUTSIDE)
        self.append(tid, USER_SYSCALL_RET, returned, texts)
        self._count_stop(tid)

    def _count_stop(self, tid: int) -> None:
        left = self.stops_left(tid) - 1
        self.set_stops_left(tid, left & 0xFFFFFFFF)
        if left == 0:
            self._ran(tid)

    def append(self, tid: int, definition: Definition, call: Entry, texts: Sequence[Text] = ()) -> None:
        """Write a record for a thread whose stream is known, and the records of its ``texts``."""
        stream = self.stream(tid)
        assert stream is not None
        records = [(definition, call.arguments)]
        records += [(USER_SYSCALL_TEXT, arguments) for text in texts for arguments in text.pack()]
        if not self._events.has_room(len(records)):
            self._make_room()
        self._events.append(call.ticks, stream, records, arch=call.arch, number=call.number & _WORD)
        self._wake_reader()

    def _facts(self, stopped: Stopped) -> tuple[int, ...]:
        stopped.read_call_info(ctypes.addressof(self._call), _CALL_INFO_SIZE)
        return _CALL_INFO.unpack_from(self._call)
