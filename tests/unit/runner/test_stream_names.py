"""The name of a thread in the trace, when the thread exits while the drain asks for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from htrun.events.warnings import Warnings
from htrun.intercept.guest import Thread
from htrun.runner import stream_names
from htrun.runner.stream_names import StreamNames


def test_a_thread_that_exits_while_its_name_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracer notes the name at the exit event, before it lets the thread go."""
    process = SimpleNamespace(pid=4711, big_endian=False)
    thread = SimpleNamespace(tid=4712, number=3, process=process, comm=None)

    def gone(_tid: int) -> str:
        thread.comm = "worker"
        return ""

    monkeypatch.setattr(stream_names, "name_of", gone)
    stream = StreamNames(Warnings(quiet=True, verbose=False)).stream_of(cast(Thread, thread))
    assert (stream.comm, stream.tid, stream.vcpu) == ("worker", 4712, 3)


def test_a_thread_that_is_killed_before_its_name_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the name of its process, which it has unless it was given another."""
    process = SimpleNamespace(pid=4711, big_endian=False)
    thread = SimpleNamespace(tid=4712, number=3, process=process, comm=None)
    monkeypatch.setattr(stream_names, "name_of", {4711: "server", 4712: ""}.__getitem__)
    stream = StreamNames(Warnings(quiet=True, verbose=False)).stream_of(cast(Thread, thread))
    assert (stream.comm, stream.tid) == ("server", 4712)
