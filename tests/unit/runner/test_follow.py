"""Threads that are kept on the tracer's processor are released exactly once, even if the clock advances at the same
time."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from htrun.runner.follow import Follow


@pytest.fixture
def follow() -> Iterator[Follow]:
    """An object for this process, whose processors are restored."""
    processors, handler = os.sched_getaffinity(0), signal.getsignal(signal.SIGALRM)
    made = Follow()
    yield made
    made.release()
    signal.signal(signal.SIGALRM, handler)
    assert os.sched_getaffinity(0) == processors


class TicksAmid:
    """Reads counts while the clock advances, as on a very busy machine."""

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


class Quiet:
    """The counts of a thread that makes no recorded calls."""

    def stops_left(self, _tid: int) -> int:
        return 0

    def set_stops_left(self, _tid: int, _count: int) -> None:
        pass


def test_what_others_set_meanwhile_stays(follow: Follow) -> None:
    own = os.sched_getaffinity(0)
    follow.calls = Quiet()
    cat = functools.partial(subprocess.Popen, ["cat"], stdin=subprocess.PIPE)
    with cat() as kept, cat() as child:
        for _ in range(2):
            follow.ran(kept.pid)
        pinned = os.sched_getaffinity(kept.pid)
        assert len(pinned) == 1 == len(os.sched_getaffinity(0))
        chosen = {max(own - pinned)}
        os.sched_setaffinity(kept.pid, chosen)
        os.sched_setaffinity(child.pid, chosen)
        follow.release()
        follow.created(kept.pid, child.pid)
        assert os.sched_getaffinity(kept.pid) == chosen == os.sched_getaffinity(child.pid)
        assert os.sched_getaffinity(0) == own
        # An earlier child, which has inherited the processors that htrun had set, gets the former processors of its
        # creator.
        os.sched_setaffinity(child.pid, pinned)
        follow.created(kept.pid, child.pid)
        assert os.sched_getaffinity(child.pid) == own
        for process in (kept, child):
            assert process.stdin is not None
            process.stdin.close()


def test_the_tracers_own_processors_are_others_to_set(follow: Follow) -> None:
    own = os.sched_getaffinity(0)
    follow.calls = Quiet()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as kept:
        for _ in range(2):
            follow.ran(kept.pid)
        chosen = {max(own - os.sched_getaffinity(0))}
        os.sched_setaffinity(0, chosen)
        follow.release()
        try:
            assert os.sched_getaffinity(0) == chosen
            assert os.sched_getaffinity(kept.pid) == own
        finally:
            os.sched_setaffinity(0, own)
        assert kept.stdin is not None
        kept.stdin.close()
