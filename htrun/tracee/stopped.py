"""A stopped thread, and the ptrace(2) requests that need a stopped thread.

Only objects of this type make these requests, so a function that takes such an object needs a thread at a ptrace-stop.
`Stopped.resume` invalidates the object. There is no such object for a running thread.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, NamedTuple

from htrun import hosts
from htrun.tracee.ptrace import SIGINFO_SIZE, Request, TraceeDied, failure, interrupt, raw_ptrace, read_word
from htrun.tracee.stops import GroupStop, SignalStop, SyscallStop
from htrun.tracee.wait import is_end

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.tracee.stops import Stop
    from htrun.tracee.wait import Waiter

SIGSET_SIZE = 8
_MOST_OF_A_SET = 16384
_NOBODY = -1
"""An id that no thread has. A request for this id fails like a request for a dead thread (ESRCH)."""

# One buffer for each kind of result is enough, since only the tracer's main thread makes requests.
_message = ctypes.c_ulong()
_message_address = ctypes.addressof(_message)
_siginfo = ctypes.create_string_buffer(SIGINFO_SIZE)
_siginfo_address = ctypes.addressof(_siginfo)
_fault_fields = struct.Struct("=iiiiQ")
_mask = ctypes.c_uint64()
_mask_address = ctypes.addressof(_mask)
_syscall_info = ctypes.create_string_buffer(88)
_syscall_info_address = ctypes.addressof(_syscall_info)
_syscall_info_fields = struct.Struct("=4xI16xq48xI")
"""struct ptrace_syscall_info of a seccomp stop (<linux/ptrace.h>, Linux 5.3): arch, nr, ret_data."""


class FilteredCall(NamedTuple):
    """A system call that a seccomp filter has stopped. ``audit_arch``, ``number``: the interface and the number of the
    call. ``data``: the filter's data for SECCOMP_RET_TRACE (0 to 65535)."""

    audit_arch: int
    number: int
    data: int


class _IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Stopped:
    """A thread at a ptrace-stop.

    Every method raises `TraceeDied` if the thread was killed meanwhile; the wait status of its death comes later. After
    `resume` or `listen` the object has no ``tid``, so that a further request raises AttributeError.
    """

    __slots__ = ("tid",)

    def __init__(self, tid: int) -> None:
        self.tid = tid

    def _request(self, kind: int, address: int, data: int) -> None:
        if raw_ptrace(kind, self.tid, address, data) == -1:
            raise failure(kind, self.tid)

    # Registers.

    def registers(self) -> Registers:
        """The general registers. Their type is imported at the first use, because a program that maps no channel does
        not need it."""
        registers = hosts.current().registers()
        self._request(Request.GETREGS, 0, ctypes.addressof(registers))
        return registers

    def read_registers(self, registers: Registers) -> None:
        """Read the general registers into ``registers``."""
        self._request(Request.GETREGS, 0, ctypes.addressof(registers))

    def set_registers(self, registers: Registers) -> None:
        """Write ``registers`` to the general registers."""
        self._request(Request.SETREGS, 0, ctypes.addressof(registers))

    def register_set(self, kind: int) -> bytes:
        """The register set ``kind`` (NT_* in <linux/elf.h>). ``kind`` must not be the set of general registers."""
        room = ctypes.create_string_buffer(_MOST_OF_A_SET)
        vector = _IoVec(ctypes.addressof(room), _MOST_OF_A_SET)
        self._request(Request.GETREGSET, kind, ctypes.addressof(vector))
        return room.raw[: vector.length]

    def user_word(self, offset: int) -> int:
        """The word of struct user (<sys/user.h>) at ``offset`` (bytes)."""
        word = read_word(Request.PEEKUSER, self.tid, offset)
        if word is None:
            raise TraceeDied(self.tid)
        return word

    def set_user_word(self, offset: int, value: int) -> None:
        """Write ``value`` to the word of struct user at ``offset`` (bytes)."""
        self._request(Request.POKEUSER, offset, value)

    # Signals.

    def fault(self) -> tuple[int, int]:
        """``(si_code, si_addr)`` of the fault signal for which the thread is stopped."""
        self._request(Request.GETSIGINFO, 0, _siginfo_address)
        _signo, _errno, code, _pad, address = _fault_fields.unpack_from(_siginfo)
        return code, address

    def signal_info(self) -> bytes:
        """The siginfo_t of the signal for which the thread is stopped: 128 bytes."""
        self._request(Request.GETSIGINFO, 0, _siginfo_address)
        return _siginfo.raw

    def set_signal_info(self, info: bytes) -> None:
        """Replace the siginfo_t of the signal to be delivered."""
        buffer = ctypes.create_string_buffer(info, SIGINFO_SIZE)
        self._request(Request.SETSIGINFO, 0, ctypes.addressof(buffer))

    def signal_mask(self) -> int:
        """The mask of blocked signals: bit N-1 stands for signal N."""
        self._request(Request.GETSIGMASK, SIGSET_SIZE, _mask_address)
        return _mask.value

    def set_signal_mask(self, mask: int) -> None:
        """Replace the mask of blocked signals."""
        _mask.value = mask
        self._request(Request.SETSIGMASK, SIGSET_SIZE, _mask_address)

    # The reason of the stop.

    def event_message(self) -> int:
        """The message of a ptrace event: a new thread's id, an exit status, or a former thread id."""
        self._request(Request.GETEVENTMSG, 0, _message_address)
        return _message.value

    def read_call_info(self, address: int, size: int) -> None:
        """Fill a struct ptrace_syscall_info (<linux/ptrace.h>) of ``size`` bytes at ``address`` in htrun's memory."""
        self._request(Request.GET_SYSCALL_INFO, size, address)

    def filtered_call(self) -> FilteredCall:
        """The system call for which a seccomp filter has stopped the thread."""
        self._request(Request.GET_SYSCALL_INFO, len(_syscall_info), _syscall_info_address)
        return FilteredCall(*_syscall_info_fields.unpack_from(_syscall_info))

    # The end of the stop.

    def resume(self, request: Request = Request.CONT, number: int = 0) -> None:
        """Let the thread run, with the signal ``number`` (0: none). ``request``: CONT, SYSCALL to stop the thread at
        its next call, or SINGLESTEP to stop it at its next instruction."""
        tid = self.tid
        if raw_ptrace(request, tid, 0, number) == -1:
            raise failure(request, tid)
        del self.tid

    def run_to_next(self, waiter: Waiter, request: Request = Request.CONT, number: int = 0) -> Stop:
        """Resume the thread, and wait for its next stop. Raises `TraceeDied` if the thread dies; in this case, the next
        wait of ``waiter`` reports the wait status. A thread also dies by the exec of another thread, which takes over
        its id."""
        tid = self.tid
        self.resume(request, number)
        self.tid = _NOBODY
        stop = waiter.next_of(tid)
        if is_end(stop):
            raise TraceeDied(tid)
        self.tid = tid
        return stop

    def run_to_syscall_stop(self, waiter: Waiter) -> None:
        """Resume the thread, and wait for its next syscall-stop. Raises `TraceeDied`, as `run_to_next` does.

        If a job-control stop comes meanwhile, this thread is kept running, and only the rest of its process stops. When
        the thread is resumed next, it joins the stop, unless SIGCONT has already ended the stop (PTRACE_INTERRUPT;
        kernel/signal.c, do_jobctl_trap).
        """
        deliver, joins = 0, False
        while True:
            stop = self.run_to_next(waiter, Request.SYSCALL, deliver)
            if isinstance(stop, SyscallStop):
                break
            deliver = stop.signal if isinstance(stop, SignalStop) else 0
            joins = joins or isinstance(stop, GroupStop)
        if joins:
            interrupt(self.tid)

    def listen(self) -> None:
        """Leave the thread in its group-stop, so that SIGCONT can end the stop."""
        self.resume(Request.LISTEN)
