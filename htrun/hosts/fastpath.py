"""Stops that a host's machine code handles by itself, and the interface to those that it leaves to Python.

A host that has none can handle every stop in Python, with the same methods.
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
    """What is known of traps and signals, so that Python need not handle a stop that brings nothing new."""

    @property
    def count(self) -> int:
        """Traps handled so far."""

    def forget(self) -> None:
        """Something has happened: the next trap of each thread at each site is new again."""

    def let_signals_through(self, tid: int) -> None:
        """Signals of thread ``tid`` need not be inspected, except where it is in a call or in a trampoline."""

    def let_faults_through(self, tid: int) -> None:
        """Faults of thread ``tid`` where nothing is mapped need not be inspected, until something else happens."""

    def look_at_signals(self, tid: int | None = None) -> None:
        """Signals and faults of thread ``tid``, or of all threads, must be inspected again."""

    def learn(self, tid: int, space: int, room: RecordSpace, store: KnownStore, trapped: Callable[[int], None]) -> None:
        """Thread ``tid``, stopped in address space number ``space``, may do ``store`` again without being inspected.

        ``trapped`` is called with the number of times that it has, by `settle` at the latest.
        """

    def settle(self) -> None:
        """Call each ``trapped`` for which there is a number."""


class TrapWait(Protocol):
    """Waits for any tracee, and knows the facts of the SIGSEGV stop it found."""

    registers: Registers
    """Those of the thread that `facts` was last asked for; what `resume_later` writes back."""

    @property
    def known(self) -> KnownTraps:
        """The traps that need not be inspected."""

    def next(self) -> tuple[int, int | None]:
        """The next ``(tid, wait status)`` of any tracee; a status of None is a death, which is not reaped yet.

        Raises ChildProcessError when there is no tracee.
        """

    def facts(self, stopped: Stopped) -> tuple[int, int]:
        """``(si_code, si_addr)`` of the SIGSEGV a thread is stopped for; `registers` are then its own."""

    def resume_later(self, stopped: Stopped, deliver: int = 0) -> None:
        """Let a thread continue with `registers`, and with a signal to ``deliver``, when `next` is called next. As
        `Stopped.resume`, this uses it up."""

    def flush(self) -> None:
        """Resume now what `resume_later` has put off."""


class CallWait(Protocol):
    """Waits for any tracee, and records the calls for which a filter stops with `seccomp.RECORDED`.

    Its methods can do the same for a stop that was found in another way than by waiting for any tracee.
    """

    def next(self) -> tuple[int, int | None]:
        """The next ``(tid, wait status)`` that is not handled here; a status of None is a death, not reaped yet.

        Raises ChildProcessError when there is no tracee.
        """

    def stopped(self) -> tuple[int, int] | None:
        """A stop that is there already, as `next`; None if there is none."""

    def stream(self, tid: int) -> int | None:
        """The number of the thread's stream, if it is known."""

    def set_stream(self, tid: int, number: int | None) -> None:
        """Set the stream number in the thread's records; with None, it must be looked up again."""

    def stops_left(self, tid: int) -> int:
        """How many stops of the thread are left until ``ran`` is called."""

    def set_stops_left(self, tid: int, count: int) -> None:
        """Call ``ran`` when the thread has stopped ``count`` times."""

    def state(self, tid: int) -> State:
        """What the thread does."""

    def forget(self, tid: int) -> None:
        """The thread is no more."""

    def call_of(self, tid: int) -> tuple[State, int, int]:
        """What the thread does, and the interface and number of the call it is in."""

    def set_call(self, tid: int, call: tuple[State, int, int]) -> None:
        """If ``call``, the `call_of` of another thread, is a call, the thread is now in that call."""

    def read_texts(self, plans_32: bytes, plans_64: bytes) -> None:
        """Read what calls point to as well. ``plans_32``, ``plans_64``: what of the calls of the two interfaces
        (`htrun.hosts.call_plans`)."""

    def pointer(self, tid: int) -> int:
        """The argument of the call a thread is in that the kernel fills in."""

    def set_pointer(self, tid: int, pointer: int) -> None:
        """The kernel fills in what is at ``pointer``."""

    def look(self, stopped: Stopped) -> Entry:
        """The call before which a thread is stopped by a filter."""

    def enter(self, tid: int, call: Entry, texts: Sequence[Text] = ()) -> None:
        """A thread, whose stream is known, makes a call. ``texts``: what it points to."""

    def watch(self, tid: int) -> None:
        """Python must also handle the return from the call that the thread is in."""

    def has_returned(self, stopped: Stopped) -> bool:
        """Whether a stopped thread is after its call, not before it."""

    def interface(self, stopped: Stopped) -> int:
        """The interface (AUDIT_ARCH_*) whose call numbers a stopped thread uses."""

    def result_of(self, stopped: Stopped) -> Entry | None:
        """The return of a thread that is stopped after the call it was in; None if it is not, or was in none."""

    def leave(self, tid: int, returned: Entry, texts: Sequence[Text] = ()) -> None:
        """A thread, whose stream is known, leaves its call. ``returned``: `result_of` it; ``texts``: what the kernel
        has filled in."""

    def append(self, tid: int, definition: Definition, call: Entry, texts: Sequence[Text] = ()) -> None:
        """Write a record of a thread whose stream is known, and those of what it points to."""


class FastPath(Protocol):
    """The type of ``FAST_PATH`` in a host's package ``fastpath``."""

    def trap_wait(self, slots: Slots, code: CodeRanges, *, record_size: int, run: TrapRun, in_one_go: bool) -> TrapWait:
        """``code``: where every signal to a thread must be inspected. ``record_size``: bytes. ``run`` is kept up to
        date. ``in_one_go``: if False, every stop is left to Python."""

    def call_wait(self, recording: CallRecording) -> CallWait:
        """What records calls."""


def current() -> FastPath:
    """That of the machine that htrun runs on."""
    return cast(FastPath, import_module(f"{hosts.package()}.fastpath").FAST_PATH)
