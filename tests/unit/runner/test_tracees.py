"""The set of tracees, if the kernel reports events in an unusual order, or if a process is killed in between."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING
from unittest.mock import create_autospec

import pytest

from htrun.intercept.guest import StoppedThread, Thread
from htrun.runner.tracees import Hooks, Tracees
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.ptrace import TraceeDied
from htrun.tracee.stops import Exited, InterruptStop
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from _typeshed import TraceFunction


@pytest.fixture
def thread_id() -> Iterator[int]:
    """The id of another thread of this process."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert thread.native_id is not None
    yield thread.native_id
    end.set()
    thread.join()


def nothing(*_: object) -> None:
    """A hook that does nothing."""


def test_a_creator_killed_at_its_event_leaves_no_stranger(thread_id: int) -> None:
    """A thread that stops before its creator's event is also added, and is removed when it has exited."""

    def killed(stopped: StoppedThread) -> None:
        raise TraceeDied(stopped.tid)

    waiter = create_autospec(Waiter, instance=True)
    waiter.is_tracee.return_value = True
    hooks = Hooks(nothing, nothing, at_birth=killed, began=nothing, ended=nothing)
    tracees = Tracees(FirstProcess(os.getpid()), waiter, hooks)
    tracees.stranger_stopped(InterruptStop(thread_id))
    assert tracees.created(StoppedThread(tracees.threads[os.getpid()]), thread_id) == InterruptStop(thread_id)
    assert list(tracees) == [os.getpid(), thread_id]
    tracees.ended(tracees.threads[thread_id], Exited(thread_id, 0))
    assert list(tracees) == [os.getpid()]


def lines_run(action: Callable[[], object]) -> int:
    """The number of lines of Python that ``action`` executes."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> TraceFunction:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(None)
    return count


def test_a_thread_costs_the_same_among_many(thread_id: int) -> None:
    """The cost of its start, of reading its thread pointer, and of its exit."""
    waiter = create_autospec(Waiter, instance=True)
    waiter.is_tracee.return_value = True
    pid = os.getpid()
    tracees = Tracees(FirstProcess(pid), waiter, Hooks(nothing, nothing, nothing, nothing, nothing))
    first = tracees.threads[pid]

    def one() -> None:
        tracees.created(StoppedThread(first), thread_id)
        thread = tracees.threads[thread_id]
        thread.space.pointers.learn(thread, 1 << 20)
        assert not thread.space.pointers.others(thread)
        tracees.ended(thread, Exited(thread_id, 0))

    one()  # Late imports happen now.
    alone = lines_run(one)
    for number in range(2000):
        tracees.threads[-number - 1] = other = Thread(-number - 1, first.process, number)
        first.space.threads.add(other)
        first.process.living += 1
        first.space.pointers.learn(other, number + 1)
    assert lines_run(one) == alone


def test_threads_with_the_same_thread_pointer() -> None:
    waiter = create_autospec(Waiter, instance=True)
    hooks = Hooks(nothing, nothing, nothing, nothing, nothing)
    tracees = Tracees(FirstProcess(os.getpid()), waiter, hooks)
    one = tracees.threads[os.getpid()]
    other = Thread(1, one.process, 1)
    pointers = one.space.pointers
    pointers.learn(one, 16)
    assert pointers.others(one) == []
    pointers.learn(other, 16)
    assert (pointers.others(one), pointers.others(other)) == ([other], [one])
    pointers.learn(other, 32)
    assert (pointers.others(one), pointers.others(other)) == ([], [])
    pointers.learn(one, 32)
    pointers.forget(other)
    assert pointers.others(one) == []
