"""The interface of a host's machine code for stops. The machine code handles most stops and leaves the others to
Python.

A host without such machine code can implement the same methods in Python, and handle every stop there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from htrun import hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from htrun.events.call_texts import Text
    from htrun.events.definitions import Definition
    from htrun.hosts.host import Registers
    from htrun.hosts.stops import CallRecording, Entry, KnownStore, RecordSpace, Slots, State
    from htrun.hosts.trap_run import TrapRun
    from htrun.tracee.code_ranges import CodeRanges
    from htrun.tracee.stopped import Stopped


class KnownTraps(Protocol):
    """The known traps and signals, which the machine code may handle without Python."""

    @property
    def count(self) -> int:
        """The number of traps that the machine code has handled so far."""

    def forget(self) -> None:
        """Forget all known traps, so that Python handles the next trap of each thread at each site."""

    def let_signals_through(self, tid: int) -> None:
        """Let the machine code deliver signals to thread ``tid``, unless it is in a call or in a trampoline."""

    def let_faults_through(self, tid: int) -> None:
        """Let the machine code deliver faults of thread ``tid`` at unmapped addresses, until another stop happens."""

    def look_at_signals(self, tid: int | None = None) -> None:
        """Let Python inspect the signals and faults of thread ``tid`` again. None stands for all threads."""

    def learn(self, tid: int, space: int, room: RecordSpace, store: KnownStore, trapped: Callable[[int], None]) -> None:
        """Let the machine code handle further traps in which thread ``tid`` makes ``store``. ``space``: the number of
        the address space in which the thread is stopped. ``room``: the memory for the thread's records.

        ``trapped`` is called with the number of such traps, at the latest by `settle`.
        """

    def settle(self) -> None:
        """Report the remaining traps: call each ``trapped`` with the number of traps that have not been reported to
        it."""


class TrapWait(Protocol):
    """Waits for any tracee. If it finds a SIGSEGV stop, it also reads the facts of this stop."""

    registers: Registers
    """The registers of the thread for which `facts` was called last; `resume_later` writes them to the thread."""

    @property
    def known(self) -> KnownTraps:
        """The traps that Python need not inspect."""

    def next(self) -> tuple[int, int | None]:
        """Wait for any tracee. Returns ``(tid, wait status)``. If the thread has died, the status is None, and the
        thread still has to be reaped.

        Raises ChildProcessError if there is no tracee.
        """

    def facts(self, stopped: Stopped) -> tuple[int, int]:
        """``(si_code, si_addr)`` of the SIGSEGV for which a thread is stopped. Also reads the thread's registers into
        `registers`."""

    def resume_later(self, stopped: Stopped, deliver: int = 0) -> None:
        """Let a thread continue with `registers`, and with the signal ``deliver``, at the next call of `next`. Like
        `Stopped.resume`, this invalidates ``stopped``."""

    def flush(self) -> None:
        """Resume the thread of the last `resume_later` now."""


class CallWait(Protocol):
    """Waits for any tracee, and records the calls at which a filter stops with `seccomp.RECORDED`.

    A stop that was found in another way can be recorded by calling the methods one by one.
    """

    def next(self) -> tuple[int, int | None]:
        """The next ``(tid, wait status)`` that the machine code does not handle. If the thread has died, the status is
        None, and the thread still has to be reaped.

        Raises ChildProcessError if there is no tracee.
        """

    def stopped(self) -> tuple[int, int] | None:
        """Like `next`, but only for a stop that has already happened: it does not wait, and returns None if there is no
        stop."""

    def stream(self, tid: int) -> int | None:
        """The number of the thread's stream; None if it is unknown."""

    def set_stream(self, tid: int, number: int | None) -> None:
        """Set the number of the thread's stream, for its records; None makes the number unknown."""

    def stops_left(self, tid: int) -> int:
        """The number of stops that the thread must still make until ``ran`` is called."""

    def set_stops_left(self, tid: int, count: int) -> None:
        """Call ``ran`` when the thread has stopped ``count`` more times."""

    def state(self, tid: int) -> State:
        """The state of the thread: whether it is in a recorded call."""

    def forget(self, tid: int) -> None:
        """Forget a thread that is gone."""

    def call_of(self, tid: int) -> tuple[State, int, int]:
        """The state of the thread, and the interface and the number of the call that it is in."""

    def set_call(self, tid: int, call: tuple[State, int, int]) -> None:
        """Note that the thread is now in ``call``, which `call_of` has returned for another thread. If that other
        thread was not in a call, this does nothing."""

    def read_texts(self, plans_32: bytes, plans_64: bytes) -> None:
        """Also record the texts that arguments point to. ``plans_32``, ``plans_64``: the plans for the calls of the two
        interfaces (`htrun.hosts.call_plans`)."""

    def pointer(self, tid: int) -> int:
        """The address at which the kernel writes data. It is an argument of the call that the thread is in."""

    def set_pointer(self, tid: int, pointer: int) -> None:
        """Set the address at which the kernel writes data."""

    def look(self, stopped: Stopped) -> Entry:
        """The call that a thread is about to make. A filter has stopped the thread before this call."""

    def enter(self, tid: int, call: Entry, texts: Sequence[Text] = ()) -> None:
        """Record the entry of a call by a thread whose stream is known. ``texts``: the texts that its arguments point
        to."""

    def watch(self, tid: int) -> None:
        """Let Python also handle the return from the call that the thread is in."""

    def has_returned(self, stopped: Stopped) -> bool:
        """Whether a stopped thread is after its call, rather than before it."""

    def interface(self, stopped: Stopped) -> int:
        """The interface (AUDIT_ARCH_*) whose call numbers a stopped thread uses."""

    def result_of(self, stopped: Stopped) -> Entry | None:
        """The return of a recorded call, if the thread is stopped after such a call; otherwise None."""

    def leave(self, tid: int, returned: Entry, texts: Sequence[Text] = ()) -> None:
        """Record the return of a call of a thread whose stream is known. ``returned``: the result of `result_of`.
        ``texts``: the texts that the kernel has written to the thread's memory."""

    def append(self, tid: int, definition: Definition, call: Entry, texts: Sequence[Text] = ()) -> None:
        """Write a record for a thread whose stream is known, and the records of its ``texts``."""


class FastPath(Protocol):
    """The type of ``FAST_PATH`` in a host's package ``fastpath``."""

    def trap_wait(self, slots: Slots, code: CodeRanges, *, record_size: int, run: TrapRun, in_one_go: bool) -> TrapWait:
        """Create a `TrapWait`. ``code``: the addresses at which every signal to a thread must be inspected.
        ``record_size``: in bytes. ``run``: the current run of traps, which is kept up to date. ``in_one_go``: whether
        machine code may handle stops; if not, Python handles every stop."""

    def call_wait(self, recording: CallRecording) -> CallWait:
        """Create a `CallWait`."""


def current() -> FastPath:
    """The fast path of the machine that htrun runs on."""
    return cast(FastPath, import_module(f"{hosts.package()}.fastpath").FAST_PATH)
