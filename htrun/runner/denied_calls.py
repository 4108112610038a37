"""Calls that a seccomp filter of the program denies: htrun's filter does not stop the thread for these.

The kernel does what the strictest of all filters says (seccomp(2)), so htrun gets no stop for such a call. But a thread
that is resumed by PTRACE_SYSCALL stops before and after each call, whatever filters say. That costs two stops for each
call, so it is done only for threads with a filter of their own. The machine code of `CallWait`, which resumes by
PTRACE_CONT, must not handle their stops, so it does not learn their streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun import hosts
from htrun.hosts.stops import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from htrun.hosts.fastpath import CallWait
    from htrun.intercept.guest import StoppedThread, Thread
    from htrun.tracee import seccomp


class DeniedCalls:
    """Distinguishes them from calls that are made. ``wanted``: the calls to record."""

    def __init__(self, wait: CallWait, wanted: seccomp.RecordedCalls) -> None:
        self._wait = wait
        self._wanted = wanted
        self._streams: dict[int, int] = {}
        self._made: set[int] = set()
        """Threads that are in a call before which a filter of htrun's has stopped them."""

    def filter_added(self, thread: Thread, others: Iterable[Thread]) -> None:
        """A thread is about to put a filter on its process. The ``others`` in it, which run, may get it too (TSYNC):
        from their next stops on they are resumed as they must be. They are not stopped for that, which would disturb
        the calls that they are in (signal(7))."""
        self._made.add(thread.tid)
        for each in (thread, *others):
            self._wait.watch(each.tid)
            self._hide(each.tid)

    def look_out(self, thread: Thread) -> None:
        """No stop of a thread with a filter is for the machine code alone."""
        if thread.process.filtered:
            self._wait.watch(thread.tid)
            self._hide(thread.tid)

    def made(self, thread: Thread) -> None:
        """A filter of htrun's has stopped a thread before a call."""
        if thread.process.filtered:
            self._made.add(thread.tid)
            self.look_out(thread)

    def call(self, stopped: StoppedThread, ticks: int) -> Entry | None:
        """The call that was denied to a thread, if it is stopped after one that is to be recorded."""
        if not stopped.thread.process.filtered or stopped.tid in self._made or not self._wait.has_returned(stopped):
            return None
        registers = stopped.registers()
        number = registers.call_number & 0xFFFFFFFF
        arch = self._wait.interface(stopped)
        abi, _ = hosts.current().call_name(arch, number)
        if not self._wanted.include(abi, number):
            return None
        return Entry(ticks, arch, number, tuple(abi.argument(registers, place) for place in range(len(abi.arguments))))

    def returned(self, stopped: StoppedThread) -> None:
        """A thread is stopped before or after a call."""
        if stopped.thread.process.filtered:
            if self._wait.has_returned(stopped):
                self._made.discard(stopped.tid)
            self.look_out(stopped.thread)

    def stream(self, tid: int) -> int | None:
        """The number of the thread's stream, which `CallWait` must not learn."""
        return self._streams.get(tid)

    def executed(self, former: int, tid: int) -> None:
        """Exec: thread ``former`` is now ``tid``, has another name, and is still in its call."""
        self._streams.pop(former, None)
        self._streams.pop(tid, None)
        if former in self._made:
            self._made.discard(former)
            self._made.add(tid)

    def forget(self, tid: int) -> None:
        """The thread is gone."""
        self._streams.pop(tid, None)
        self._made.discard(tid)

    def _hide(self, tid: int) -> None:
        number = self._wait.stream(tid)
        if number is not None:
            self._streams[tid] = number
            self._wait.set_stream(tid, None)
