"""The stops of recorded system calls in one go: resume, wait, read the call's facts, write its record, resume.

A tracer that does this in Python spends most of its time in the interpreter (`htrun.tracee.trap_wait`), and a recorded
call stops twice. So the machine code here goes round by itself as long as nothing but such stops comes, and comes back
for everything else, for a thread that it is not to know, and when its records have no room or somebody sleeps who waits
for them.

Whatever it does for a stop can be done by the methods too, for the stops that are not met by waiting for any tracee.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from htrun.events.definitions import DEFINITIONS, USER_SYSCALL, USER_SYSCALL_RET
from htrun.machine_code import executable
from htrun.tracee import ptrace
from htrun.tracee.ptrace import SIGINFO_SIZE, Request
from htrun.tracee.thread_table import MOST_THREADS, thread_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.events.definitions import Definition
    from htrun.events.tracer_events import TracerEvents

_CODE = bytes.fromhex(
    "53 4154 4155 4889fb"  # push %rbx, %r12, %r13; mov %rdi,%rbx
    "4c8b6348"  # mov CONTROL(%rbx),%r12
    "488b33 4885f6 7414"  # resume: mov TID(%rbx),%rsi; test %rsi,%rsi; jz look
    "b865000000 488b7b08 31d2 4531d2 0f05"  # ptrace(request, tid, 0, 0)
    "48832300"  # andq $0,TID(%rbx)
    "b8f7000000 31ff 31f6 488b5328"  # look: waitid(P_ALL, 0, info, ...
    "4c8b5310 4531c0 0f05"  # ... OPTIONS(%rbx))
    "48894318 4885c0 0f85c2010000"  # mov %rax,FOUND(%rbx); test %rax,%rax; jnz done
    "488b5328 8b7210 48897318 4883632000"  # si_pid of INFO(%rbx) into FOUND(%rbx); 0 into STATUS(%rbx)
    "837a0804 0f85a8010000"  # cmpl $CLD_TRAPPED,si_code(%rdx); jne done
    "b8f7000000 bf01000000 41ba03000040 0f05"  # waitid(P_PID, found, info, WSTOPPED|WNOHANG|__WALL)
    "4885c0 75ac 488b5328 837a1000 74a2"  # jump to look if that failed or si_pid is 0
    "8b4a18 89c8 c1e008 83c87f 894320"  # si_status into %ecx; si_status << 8 | 0x7f into STATUS(%rbx)
    "4c8b6b18 4c3b6b40 0f836b010000"  # mov FOUND(%rbx),%r13; cmp THREADS(%rbx),%r13; jae done
    "49c1e505 4c036b38 41837d0000 0f8458010000"  # the thread's _Entry into %r13; cmpl $0,STREAM(%r13); je done
    "498b442410 492b442418 493b442408 0f8743010000"  # head - tail of CONTROL; cmp MASK(%r12),%rax; ja done
    "81f905070000 7417"  # cmp $SIGTRAP|PTRACE_EVENT_SECCOMP<<8,%ecx; je facts
    "81f985000000 0f852f010000"  # cmp $SIGTRAP|0x80,%ecx; jne done
    "41837d0401 0f8524010000"  # cmpl $IN_CALL,STATE(%r13); jne done
    "b865000000 bf0e420000 488b7318 ba58000000 4c8b5330 0f05"  # facts: ptrace(GET_SYSCALL_INFO, found, 88, call)
    "4885c0 0f8e02010000"  # test %rax,%rax; jle done
    "4c8b4330"  # mov CALL(%rbx),%r8
    "498b7c2410 49237c2408 486bff60 49033c24"  # the place of record number HEAD into %rdi
    "0f31 48c1e220 4809d0 488907"  # rdtsc; its ticks into TICKS(%rdi)
    "418b4500 ffc8 894708"  # STREAM(%r13) - 1 into the record
    "c7430807000000"  # movl $PTRACE_CONT,REQUEST(%rbx)
    "41803803 7438"  # cmpb $PTRACE_SYSCALL_INFO_SECCOMP,(%r8); je entry
    "41803802 0f85c0000000"  # cmpb $PTRACE_SYSCALL_INFO_EXIT,(%r8); jne done
    "4183650400"  # andl $0,STATE(%r13)
    "8b435c 89470c"  # RETURN_KIND(%rbx) into the record
    "418b4508 48894710 418b450c 48894718"  # the call's interface and number, from %r13
    "498b4018 48894720"  # its result
    "4883c728 b907000000 eb5c"  # 7 arguments are zero; jmp rest
    "4181785055480000 0f8584000000"  # entry: cmpl $RECORDED,ret_data(%r8); jne done
    "418b4804 498b5018"  # interface into %ecx, number into %rdx
    "837b5400 7417"  # cmpl $0,RETURNS(%rbx); je mark
    "41c7450401000000 41894d08 4189550c"  # IN_CALL, interface and number into %r13's
    "c7430818000000"  # movl $PTRACE_SYSCALL,REQUEST(%rbx)
    "837b5000 7430"  # mark: cmpl $0,ENTRIES(%rbx); je go
    "8b4358 89470c"  # ENTRY_KIND(%rbx) into the record
    "48894f10 48895718"  # interface and number
    "4883c720 498d7020 b906000000 f348a5"  # six arguments
    "b902000000"  # 2 arguments are zero
    "31c0 f348ab"  # rest: the zeros
    "49ff442410 0faef0"  # incq HEAD(%r12); mfence
    "488b4318 488903"  # go: the thread is to be resumed: FOUND(%rbx) into TID(%rbx)
    "41ff4d10 7506 48894360 eb0c"  # decl STOPS_LEFT(%r13); jnz same; mov %rax,RAN(%rbx); jmp back
    "41837c242000 0f8409feffff"  # same: cmpl $0,IDLE(%r12); je resume
    "4883631800 4883632000"  # back: 0 into FOUND(%rbx) and STATUS(%rbx)
    "415d 415c 5b c3"  # done: pop %r13, %r12, %rbx; ret
)

_WALL = 0x40000000
_ANY_CHANGE = os.WEXITED | os.WSTOPPED | os.WNOWAIT | _WALL
_STOPS_NOW = os.WSTOPPED | os.WNOHANG | os.WNOWAIT | _WALL


class _Block(ctypes.Structure):
    """What the code reads and writes; the offsets are in `_CODE`."""

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
    ]


_THREAD = struct.Struct("<IIII")
_THREAD_SIZE = 32
"""What is known of a thread, by its id: its stream's number plus one (0: unknown), `State`, and, within a call, the
call's interface and number; behind that, at `_STOPS_AT`, how often it has still to stop until somebody is told."""
_FIELD = struct.Struct("<I")
_STREAM_AT, _STATE_AT, _STOPS_AT = 0, 4, 16
_CALL_INFO = struct.Struct("<B3xI16x7Q")
"""struct ptrace_syscall_info (<linux/ptrace.h>, Linux 5.3): what stop it is of, interface, number or result, arguments.
"""
_CALL_INFO_SIZE = 88
_EXIT = 2
"""PTRACE_SYSCALL_INFO_EXIT."""
_WORD = (1 << 64) - 1


class State(IntEnum):
    """What a thread does as far as records are concerned."""

    OUTSIDE = 0
    IN_CALL = 1
    """It is in a call whose return is to be recorded."""
    IN_WATCHED_CALL = 2
    """The same, and its return is not for the machine code alone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that is being made. ``ticks``: when; ``arch``: whose numbers (AUDIT_ARCH_*)."""

    ticks: int
    arch: int
    number: int
    arguments: tuple[int, ...]


class CallWait:
    """Waits for any tracee, and records the calls for which a filter stops with `seccomp.RECORDED`.

    ``entries``, ``returns``: which half of a call is recorded. ``clock``: reads the ticks; ``in_one_go``: whether they
    are the time stamp counter's, as the machine code reads it; else every stop is returned. ``make_room`` empties
    ``events``; ``wake`` wakes whoever does so. ``ran`` is told of a thread that has stopped as often as
    `set_stops_left` says, while it is stopped.
    """

    def __init__(
        self,
        events: TracerEvents,
        *,
        entries: bool,
        returns: bool,
        clock: Callable[[], int],
        in_one_go: bool,
        make_room: Callable[[], None],
        wake: Callable[[], None],
        ran: Callable[[int], None],
    ) -> None:
        self._events = events
        self._entries = entries
        self._returns = returns
        self._clock = clock
        self._make_room = make_room
        self._wake = wake
        self._ran = ran
        self._threads = thread_table(_THREAD_SIZE)
        self._info = ctypes.create_string_buffer(SIGINFO_SIZE)
        self._call = ctypes.create_string_buffer(_CALL_INFO_SIZE)
        self._block = _Block(
            info=ctypes.addressof(self._info),
            call=ctypes.addressof(self._call),
            threads=ctypes.addressof(ctypes.c_char.from_buffer(self._threads)),
            most_threads=MOST_THREADS if in_one_go else 0,
            control=events.address,
            entries=entries,
            returns=returns,
            entry_kind=DEFINITIONS.index(USER_SYSCALL),
            return_kind=DEFINITIONS.index(USER_SYSCALL_RET),
        )
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(executable(_CODE))
        self._run = functools.partial(call, ctypes.c_void_p(ctypes.addressof(self._block)))

    def next(self) -> tuple[int, int | None]:
        """The next ``(tid, wait status)`` that is not dealt with here; a status of None is a death, not reaped yet.

        Raises ChildProcessError when there is no tracee.
        """
        while True:
            found, status = self._go_round(_ANY_CHANGE)
            self._wake_reader()
            self._tell_who_ran()
            if found > 0:
                return found, status or None
            if found not in (0, -errno.EINTR):
                raise ChildProcessError(-found, os.strerror(-found))

    def stopped(self) -> tuple[int, int] | None:
        """A stop that is there already, as `next`; None if there is none."""
        while True:
            found, status = self._go_round(_STOPS_NOW)
            if found > 0:
                return found, status
            self._wake_reader()
            self._tell_who_ran()
            # A thread that the code came back for has still to be resumed.
            if found != -errno.EINTR and not self._block.tid:
                return None

    def _go_round(self, options: int) -> tuple[int, int]:
        self._block.options = options
        self._run()
        return self._block.found, self._block.status

    def _wake_reader(self) -> None:
        """Wake whoever takes the records if they sleep."""
        if self._events.idle:
            self._events.idle = False
            self._wake()

    def _tell_who_ran(self) -> None:
        """Tell of the thread that has stopped as often as it was to, if there is one."""
        tid, self._block.ran = self._block.ran, 0
        if tid:
            self._ran(tid)

    # What is known of threads.

    def stream(self, tid: int) -> int | None:
        """The number of the thread's stream, if it is known."""
        number: int = _FIELD.unpack_from(self._threads, tid * _THREAD_SIZE + _STREAM_AT)[0]
        return number - 1 if number else None

    def set_stream(self, tid: int, number: int | None) -> None:
        """What the thread's records bear; None: it has to be found out anew."""
        _FIELD.pack_into(self._threads, tid * _THREAD_SIZE + _STREAM_AT, 0 if number is None else number + 1)

    def stops_left(self, tid: int) -> int:
        """How often the thread has still to stop until ``ran`` is told."""
        left: int = _FIELD.unpack_from(self._threads, tid * _THREAD_SIZE + _STOPS_AT)[0]
        return left

    def set_stops_left(self, tid: int, count: int) -> None:
        """Tell ``ran`` when the thread has stopped ``count`` times."""
        _FIELD.pack_into(self._threads, tid * _THREAD_SIZE + _STOPS_AT, count)

    def state(self, tid: int) -> State:
        """What the thread does."""
        return State(_FIELD.unpack_from(self._threads, tid * _THREAD_SIZE + _STATE_AT)[0])

    def forget(self, tid: int) -> None:
        """The thread is no more."""
        self._threads[tid * _THREAD_SIZE : (tid + 1) * _THREAD_SIZE] = bytes(_THREAD_SIZE)

    def call_of(self, tid: int) -> tuple[State, int, int]:
        """What the thread does, and the interface and number of the call it is in."""
        _, state, arch, number = _THREAD.unpack_from(self._threads, tid * _THREAD_SIZE)
        return State(state), arch, number

    def set_call(self, tid: int, call: tuple[State, int, int]) -> None:
        """If ``call``, another thread's `call_of`, is one, the thread is in it now."""
        if call[0] is not State.OUTSIDE:
            struct.pack_into("<III", self._threads, tid * _THREAD_SIZE + _STATE_AT, *call)

    # The same by hand.

    def look(self, tid: int) -> Entry:
        """The call in front of which a thread is stopped by a filter."""
        ticks = self._clock()
        _, arch, number, *arguments = self._facts(tid)
        return Entry(ticks, arch, number, tuple(arguments))

    def enter(self, tid: int, call: Entry) -> None:
        """A thread, whose stream is known, makes a call."""
        if self._returns:
            at = tid * _THREAD_SIZE + _STATE_AT
            struct.pack_into("<III", self._threads, at, State.IN_CALL, call.arch, call.number & 0xFFFFFFFF)
        if self._entries:
            self.append(tid, USER_SYSCALL, call)

    def watch(self, tid: int) -> None:
        """The return from the call the thread is in is not for the machine code alone."""
        if self.state(tid) is State.IN_CALL:
            _FIELD.pack_into(self._threads, tid * _THREAD_SIZE + _STATE_AT, State.IN_WATCHED_CALL)

    def has_returned(self, tid: int) -> bool:
        """Whether a stopped thread is behind its call, not in front of it."""
        kind, *_ = self._facts(tid)
        return kind == _EXIT

    def leave(self, tid: int) -> None:
        """A thread, whose stream is known, is behind the call it was in."""
        ticks = self._clock()
        kind, _, result, *_ = self._facts(tid)
        _, state, arch, number = _THREAD.unpack_from(self._threads, tid * _THREAD_SIZE)
        if kind != _EXIT or state == State.OUTSIDE:
            return
        _FIELD.pack_into(self._threads, tid * _THREAD_SIZE + _STATE_AT, State.OUTSIDE)
        self.append(tid, USER_SYSCALL_RET, Entry(ticks, arch, number, (result,)))

    def append(self, tid: int, definition: Definition, call: Entry) -> None:
        """Write a record of a thread whose stream is known."""
        stream = self.stream(tid)
        assert stream is not None
        if self._events.full:
            self._make_room()
        self._events.append(
            call.ticks,
            stream,
            definition,
            arch=call.arch,
            number=call.number & _WORD,
            arguments=call.arguments,
        )
        self._wake_reader()

    def _facts(self, tid: int) -> tuple[int, ...]:
        ptrace.request(Request.GET_SYSCALL_INFO, tid, _CALL_INFO_SIZE, ctypes.addressof(self._call))
        return _CALL_INFO.unpack_from(self._call)
