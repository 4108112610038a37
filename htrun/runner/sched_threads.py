"""Connects the recorder of the kernel's events (`htrun.sched`) to the threads of a run and to their streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from htrun.runner.stream_names import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.intercept.guest import Thread
    from htrun.runner.recording import Recording
    from htrun.sched.recorder import SchedRecorder


class _Known(NamedTuple):
    """A thread, and the name that it had at its start or after its last exec."""

    thread: Thread
    name: str


class SchedThreads:
    """The threads of a run whose context switches and page faults are recorded."""

    def __init__(self, recorder: SchedRecorder, recording: Recording) -> None:
        self._recorder = recorder
        self._recording = recording
        self._known: dict[int, _Known] = {}

    def began(self, thread: Thread) -> None:
        """Record ``thread``, which has not run yet, or not yet run its program."""
        self._known[thread.tid] = _Known(thread, name_of(thread.tid))
        self._recorder.began(thread.tid, self._number_of(thread))

    def executed(self, thread: Thread) -> None:
        """Take note that ``thread``, which is stopped, has executed a program. If it had an id of its own before, it
        has already begun anew."""
        known = self._known.get(thread.tid)
        if known is None or known.thread is thread:
            return
        before = known.thread
        if before.source is None and before.comm is None:
            # The kernel has already replaced the name.
            before.comm = known.name
        self._recording.source_of(before)
        self._known[thread.tid] = _Known(thread, name_of(thread.tid))
        self._recorder.executed(thread.tid, self._number_of(thread))

    def ended(self, thread: Thread) -> None:
        """Stop recording ``thread``. May be called more than once."""
        if self._known.pop(thread.tid, None) is not None:
            # The thread's name cannot be read later.
            self._recording.source_of(thread)
            self._recorder.ended(thread.tid)

    def _number_of(self, thread: Thread) -> Callable[[], int]:
        """A function that returns the number of the thread's stream. The stream gets the name that the thread has when
        its first events are taken, since many threads change their names at their start."""
        return lambda: self._recording.source_of(thread).number
