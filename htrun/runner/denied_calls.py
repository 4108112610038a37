"""Finds calls that a seccomp filter of the program denies. htrun's filter does not stop the thread at such a call.

The kernel applies the strictest result of all filters (seccomp(2)), so htrun gets no stop for a denied call. But a
thread that is resumed by PTRACE_SYSCALL stops before and after each call, whatever the filters return. Two stops for
each call are slow, so only threads whose process has installed a filter are resumed in this way. The machine code of
`CallWait` resumes by PTRACE_CONT, so it must not handle stops of these threads. Therefore it does not get the numbers
of their streams.
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
    """Distinguishes denied calls from calls that are made. ``wanted``: the calls to record."""

    def __init__(self, wait: CallWait, wanted: seccomp.RecordedCalls) -> None:
        self._wait = wait
        self._wanted = wanted
        self._streams: dict[int, int] = {}
        self._made: set[int] = set()
        """The threads that are in a call at which one of htrun's filters has stopped them."""

    def filter_added(self, thread: Thread, others: Iterable[Thread]) -> None:
        """Watch a thread that is about to install a filter, and the ``others`` in its process, which may get the filter
        too (TSYNC). The others are running. They are not stopped for this, since a stop would disturb their calls
        (signal(7)); from their next stops on they are resumed by PTRACE_SYSCALL."""
        self._made.add(thread.tid)
        for each in (thread, *others):
            self._wait.watch(each.tid)
            self._hide(each.tid)

    def look_out(self, thread: Thread) -> None:
        """If the thread's process has installed a filter, make sure that Python handles all stops of the thread, and
        not the machine code."""
        if thread.process.filtered:
            self._wait.watch(thread.tid)
            self._hide(thread.tid)

    def made(self, thread: Thread) -> None:
        """Note that one of htrun's filters has stopped a thread before a call, so that the call is not denied."""
        if thread.process.filtered:
            self._made.add(thread.tid)
            self.look_out(thread)

    def call(self, stopped: StoppedThread, ticks: int) -> Entry | None:
        """The denied call after which a thread is stopped. None if the thread is not stopped after a denied call, or if
        the call is not to be recorded."""
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
        """Handle a thread that is stopped before or after a call."""
        if stopped.thread.process.filtered:
            if self._wait.has_returned(stopped):
                self._made.discard(stopped.tid)
            self.look_out(stopped.thread)

    def stream(self, tid: int) -> int | None:
        """The number of the thread's stream, if it is hidden from `CallWait`; None otherwise."""
        return self._streams.get(tid)

    def executed(self, former: int, tid: int) -> None:
        """Handle an exec: thread ``former`` now has the id ``tid`` and a new name. It is still in its call."""
        self._streams.pop(former, None)
        self._streams.pop(tid, None)
        if former in self._made:
            self._made.discard(former)
            self._made.add(tid)

    def forget(self, tid: int) -> None:
        """Forget a thread that is gone."""
        self._streams.pop(tid, None)
        self._made.discard(tid)

    def _hide(self, tid: int) -> None:
        number = self._wait.stream(tid)
        if number is not None:
            self._streams[tid] = number
            self._wait.set_stream(tid, None)
