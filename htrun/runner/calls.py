"""Records system calls, and the start and exit of threads. The tracer sees these events without any help from the
program.

The machine code (`fastpath.call_wait`) handles most stops for recorded calls by itself. This module handles the other
stops: calls that htrun must see itself, calls that create a process or start a program, and the exits of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun import hosts
from htrun.events.definitions import CPU_ENTER, CPU_EXIT, USER_SYSCALL, USER_SYSCALL_RET
from htrun.hosts import fastpath
from htrun.hosts.stops import CallRecording, Entry, State
from htrun.runner.denied_calls import DeniedCalls
from htrun.runner.follow import CALL_STOPS
from htrun.runner.wanted_calls import calls_to_record
from htrun.tracee import seccomp
from htrun.tracee.ptrace import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from htrun.events.call_texts import Text
    from htrun.events.definitions import Definition
    from htrun.hosts.calls import Abi
    from htrun.hosts.fastpath import CallWait
    from htrun.intercept.guest import StoppedThread, Thread
    from htrun.runner.call_texts import CallTexts
    from htrun.runner.follow import Follow
    from htrun.runner.options import RunOptions
    from htrun.runner.recording import Recording
    from htrun.tracee.wait import Waiter

_BEFORE_FIRST = 1000
"""The start of the first thread gets a time that is this number of ticks before its first call: a few hundred
nanoseconds, in which no event happens."""


class Calls:
    """Records those events that `CallWait` does not record.

    ``wanted``: the calls to record. ``events``: the names of the events to record. ``clock``: returns the ticks.
    ``stream_of``: returns the number of a new stream for a thread. ``texts``: reads the texts that arguments point to;
    None to leave texts out.
    """

    recording = True

    def __init__(
        self,
        wait: CallWait,
        wanted: seccomp.RecordedCalls,
        events: frozenset[str],
        clock: Callable[[], int],
        stream_of: Callable[[Thread], int],
        texts: CallTexts | None = None,
    ) -> None:
        self.wait = wait
        self._wanted = wanted
        self._events = events
        self._clock = clock
        self._stream_of = stream_of
        self._alive: set[int] = set()
        self._first: tuple[Entry, Sequence[Text]] | None = None
        self._texts = texts
        self._denied = DeniedCalls(wait, wanted)
        if texts is not None:
            wait.read_texts(*(texts.plans(abi.audit_arch) for abi in (hosts.current().compat, hosts.current().native)))

    def began(self, thread: Thread) -> None:
        """Record the start of a thread."""
        self._alive.add(thread.tid)
        self.wait.set_stops_left(thread.tid, CALL_STOPS)
        first, self._first = self._first, None
        self._lives(thread, CPU_ENTER, self._clock() if first is None else first[0].ticks - _BEFORE_FIRST)
        if first is not None:
            call, texts = first
            self._identify(thread)
            self.wait.enter(thread.tid, call, texts)
        self._denied.look_out(thread)

    def ended(self, thread: Thread) -> None:
        """Record the exit of a thread. The thread will write no more records. May be called more than once for a
        thread."""
        if thread.tid in self._alive:
            self._alive.remove(thread.tid)
            self._lives(thread, CPU_EXIT, self._clock())
            self.wait.forget(thread.tid)
            self._denied.forget(thread.tid)

    def launching(self, stopped: StoppedThread) -> None:
        """Keep the arguments of the execve(2) that starts the program. If this call succeeds, it will be the first
        recorded call."""
        call = self.wait.look(stopped)
        self._first = call, self._pointed_to(stopped.thread, call)

    def entered(self, stopped: StoppedThread) -> None:
        """Record the entry of a call. The thread is stopped before the call."""
        thread = stopped.thread
        self._identify(thread)
        call = self.wait.look(stopped)
        self.wait.enter(thread.tid, call, self._pointed_to(thread, call))
        if self._texts is not None:
            self.wait.set_pointer(thread.tid, self._texts.pointer(call))
        self._denied.made(thread)

    def filter_added(self, thread: Thread, others: Iterable[Thread]) -> None:
        """Note that a thread is about to install a seccomp filter, which may also apply to ``others``, the other
        threads of its process."""
        self._denied.filter_added(thread, others)

    def refused(self, stopped: StoppedThread, abi: Abi, number: int) -> None:
        """Record a call that will not be made, because a filter of the guest requires a tracer. The thread is stopped
        before the call."""
        if self._wanted.include(abi, number):
            self.entered(stopped)

    def watch(self, thread: Thread) -> None:
        """Make sure that the loop gets the stop after the thread's current call."""
        self.wait.watch(thread.tid)

    def returned(self, stopped: StoppedThread) -> None:
        """Handle a thread that is stopped before or after a call, which may be a recorded call."""
        thread = stopped.thread
        returned = self.wait.result_of(stopped)
        if returned is not None:
            self._identify(thread)
            pointer = self.wait.pointer(thread.tid)
            texts = self._texts.returned(thread, returned, pointer) if self._texts is not None else ()
            self.wait.leave(thread.tid, returned, texts)
        elif (call := self._denied.call(stopped, self._clock())) is not None:
            self._identify(thread)
            self.wait.enter(thread.tid, call, self._pointed_to(thread, call))
            if (result := self.wait.result_of(stopped)) is not None:
                self.wait.leave(thread.tid, result)
        self._denied.returned(stopped)

    def made(self, stopped: StoppedThread) -> None:
        """Record the return of a call that another part of htrun has already let the thread make."""
        if self.wait.state(stopped.tid) is not State.OUTSIDE and self.wait.has_returned(stopped):
            self.returned(stopped)

    def wait_with(self, waiter: Waiter) -> None:
        """Record calls while ``waiter`` waits, from now on."""
        waiter.record_calls(self.wait)

    def resume(self, stopped: StoppedThread, request: Request = Request.CONT, number: int = 0) -> None:
        """Resume the thread by ``request``, with the signal ``number``. The thread will stop again after a call whose
        return is recorded. If the thread's process has installed a seccomp filter, which may deny calls, the thread
        will stop after each call."""
        if request is Request.CONT and (
            stopped.thread.process.filtered or self.wait.state(stopped.tid) is not State.OUTSIDE
        ):
            request = Request.SYSCALL
        stopped.resume(request, number)

    def executed(self, former: int, tid: int, learn: Callable[[], None]) -> None:
        """Handle an exec, after which thread ``former`` has the id ``tid`` and a new name. ``learn``: called to pass
        the new id on to the other parts of htrun."""
        call = self.wait.call_of(former)
        self._denied.executed(former, tid)
        if former == tid:
            self.wait.set_stream(tid, None)
        learn()
        self.wait.set_call(tid, call)

    def _pointed_to(self, thread: Thread, call: Entry) -> Sequence[Text]:
        return self._texts.entering(thread, call) if self._texts is not None else ()

    def _lives(self, thread: Thread, definition: Definition, ticks: int) -> None:
        if definition.name in self._events:
            self._identify(thread)
            self.wait.append(thread.tid, definition, Entry(ticks, 0, 0, ()))

    def _identify(self, thread: Thread) -> None:
        if self.wait.stream(thread.tid) is None:
            known = self._denied.stream(thread.tid)
            self.wait.set_stream(thread.tid, self._stream_of(thread) if known is None else known)


def record_calls(options: RunOptions, recording: Recording, follow: Follow) -> Calls:
    """Make the recorder for the system calls, thread starts and thread exits that ``options`` ask for."""
    events = recording.record_tracer_events()
    source = recording.clock.source
    how = CallRecording(
        events,
        entries=USER_SYSCALL.name in options.recorded,
        returns=USER_SYSCALL_RET.name in options.recorded,
        clock=source.read,
        in_one_go=source.name == hosts.current().counter,
        make_room=recording.make_room,
        wake=recording.wake,
        ran=follow.ran,
    )
    wait = fastpath.current().call_wait(how)
    follow.calls = wait
    texts = _texts(options)
    return Calls(wait, calls_to_record(options), options.recorded, source.read, recording.add_stream, texts)


def _texts(options: RunOptions) -> CallTexts | None:
    """The reader for texts that arguments point to; None if texts are not recorded."""
    if not options.texts_recorded:
        return None
    from htrun.runner.call_texts import CallTexts

    recorded = options.recorded
    return CallTexts(entries=USER_SYSCALL.name in recorded, returns=USER_SYSCALL_RET.name in recorded)
