"""The name of a thread in the trace, when the thread exits while the drain asks for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from htrun.events.warnings import Warnings
from htrun.intercept.guest import Thread
from htrun.runner import stream_names
from htrun.runner.recording import Recording
from htrun.runner.stream_names import StreamNames


def test_a_thread_that_exits_while_its_name_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracer stores the name at the exit event, before it resumes the thread. The process still exists."""
    process = SimpleNamespace(pid=4711, big_endian=False)
    thread = SimpleNamespace(tid=4712, number=3, process=process, comm=None)

    def gone(tid: int) -> str:
        thread.comm = "worker"
        return "server" if tid == process.pid else ""

    monkeypatch.setattr(stream_names, "name_of", gone)
    stream = StreamNames(Warnings(quiet=True, verbose=False)).stream_of(cast(Thread, thread))
    assert (stream.comm, stream.tid, stream.vcpu) == ("worker", 4712, 3)


def test_a_thread_that_is_killed_before_its_name_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is that of its process, which every thread has until it gets another name."""
    process = SimpleNamespace(pid=4711, big_endian=False)
    thread = SimpleNamespace(tid=4712, number=3, process=process, comm=None)
    monkeypatch.setattr(stream_names, "name_of", {4711: "server", 4712: ""}.__getitem__)
    stream = StreamNames(Warnings(quiet=True, verbose=False)).stream_of(cast(Thread, thread))
    assert (stream.comm, stream.tid) == ("server", 4712)


def test_a_process_that_is_killed_while_the_name_of_a_thread_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(pid=4711, big_endian=False)
    thread = SimpleNamespace(tid=4712, number=3, process=process, comm=None)

    def gone(tid: int) -> str:
        if tid == process.pid:
            thread.comm = "server"
        return ""

    monkeypatch.setattr(stream_names, "name_of", gone)
    stream = StreamNames(Warnings(quiet=True, verbose=False)).stream_of(cast(Thread, thread))
    assert stream.comm == "server"


@pytest.mark.parametrize(("unused", "name"), [(False, "server"), (True, "")])
def test_the_name_of_a_killed_thread_is_kept(monkeypatch: pytest.MonkeyPatch, unused: bool, name: str) -> None:
    """exit_group(2) kills a thread without an exit event. The drain asks for its name after the process has
    disappeared, too."""
    monkeypatch.setattr(stream_names, "name_of", {4711: "server", 4712: ""}.__getitem__)
    drain = SimpleNamespace(end=lambda ring: None)
    space = SimpleNamespace(arena=None)
    process = SimpleNamespace(pid=4711, big_endian=False)
    ring = SimpleNamespace(who=print, is_unused=unused)
    thread = SimpleNamespace(tid=4712, number=3, process=process, comm=None, ring=ring, space=space)
    Recording.thread_ended(cast(Recording, SimpleNamespace(drain=drain)), cast(Thread, thread))
    monkeypatch.setattr(stream_names, "name_of", lambda tid: "")
    assert StreamNames(Warnings(quiet=True, verbose=False)).stream_of(cast(Thread, thread)).comm == name
