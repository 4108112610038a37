"""Who is traced, when the kernel tells of it in an odd order, or somebody is killed in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from unittest.mock import create_autospec

import pytest

from htrun.intercept.guest import Thread
from htrun.runner.tracees import Hooks, Tracees
from htrun.tracee.ptrace import TraceeDied
from htrun.tracee.stops import Exited, InterruptStop
from htrun.tracee.wait import Waiter


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
    """For hooks that don't matter."""


def test_a_creator_killed_at_its_event_leaves_no_stranger(thread_id: int) -> None:
    """Who has waited to be told of is begun all the same, and gone once it has ended."""

    def killed(thread: Thread) -> None:
        raise TraceeDied(thread.tid)

    waiter = create_autospec(Waiter, instance=True)
    waiter.is_tracee.return_value = True
    hooks = Hooks(nothing, nothing, at_birth=killed, began=nothing, ended=nothing)
    tracees = Tracees(os.getpid(), waiter, big_endian=False, hooks=hooks)
    tracees.stranger_stopped(InterruptStop(thread_id))
    assert tracees.created(tracees.threads[os.getpid()], thread_id) == InterruptStop(thread_id)
    assert list(tracees) == [os.getpid(), thread_id]
    tracees.ended(tracees.threads[thread_id], Exited(thread_id, 0))
    assert list(tracees) == [os.getpid()]
