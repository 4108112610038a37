"""Threads that are kept beside the tracer are let go once, whatever the clock does meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from htrun.runner.follow import Follow


@pytest.fixture
def follow() -> Iterator[Follow]:
    """For this process; what it changes of it is put back."""
    processors, handler = os.sched_getaffinity(0), signal.getsignal(signal.SIGALRM)
    made = Follow()
    yield made
    made.release()
    signal.signal(signal.SIGALRM, handler)
    assert os.sched_getaffinity(0) == processors


class TicksAmid:
    """Counts that are asked for while the clock ticks once more, as on a machine so busy that a tick takes long."""

    def stops_left(self, _tid: int) -> int:
        signal.raise_signal(signal.SIGALRM)
        return 0

    def set_stops_left(self, _tid: int, _count: int) -> None:
        pass


def test_a_tick_amid_a_tick(follow: Follow) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as quiet:
        processors = os.sched_getaffinity(quiet.pid)
        follow.calls = TicksAmid()
        for _ in range(2):
            follow.ran(quiet.pid)
        assert len(os.sched_getaffinity(quiet.pid)) == 1
        signal.raise_signal(signal.SIGALRM)
        signal.raise_signal(signal.SIGALRM)
        assert os.sched_getaffinity(quiet.pid) == processors
        assert quiet.stdin is not None
        quiet.stdin.close()
