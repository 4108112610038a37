"""The rings of a program are watched from the moment when it runs again after it has mapped a ring."""

from __future__ import annotations

import os
from unittest.mock import MagicMock

import pytest

from htrun.runner import client_threads
from htrun.runner.afterwards import Afterwards
from htrun.runner.client_threads import ClientThreads


class Watched:
    """A replacement for the rings."""

    def __init__(self) -> None:
        self.processes: set[int] = set()


def mapping_thread() -> MagicMock:
    thread = MagicMock()
    thread.tid = thread.process.pid = os.getpid()
    thread.space.machine = False
    return thread


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    made: list[Watched] = []

    def watch(*_arguments: object) -> Watched:
        made.append(Watched())
        return made[-1]

    monkeypatch.setattr(client_threads, "watch_rings", watch)
    monkeypatch.setattr(client_threads, "clocks_of_clients", lambda _source: {})
    return made


def test_the_first_mapping_waits_for_nothing(watched: list[Watched]) -> None:
    afterwards, recording = Afterwards(), MagicMock(has_begun=False)
    threads = ClientThreads(MagicMock(), {}, recording, MagicMock(), afterwards)
    threads.mapped(mapping_thread())
    assert not watched
    afterwards.do()
    assert [each.processes for each in watched] == [{os.getpid()}]
    afterwards.do()
    threads.mapped(mapping_thread())
    assert len(watched) == 1


def test_a_thread_that_may_have_emitted_by_stores_waits(watched: list[Watched]) -> None:
    """Its events must be merged by time, so the drain must know of its ring before it writes there."""
    threads = ClientThreads(MagicMock(), {}, MagicMock(has_begun=True), MagicMock(), Afterwards())
    threads.mapped(mapping_thread())
    assert [each.processes for each in watched] == [{os.getpid()}]


def test_a_machine_waits_until_it_is_asked_for_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rings, exchange, thread = MagicMock(exchange=None), MagicMock(), mapping_thread()
    thread.space.machine = True
    monkeypatch.setattr(client_threads, "watch_rings", lambda *_: rings)
    monkeypatch.setattr(client_threads, "clocks_of_clients", lambda _source: {})
    monkeypatch.setattr("htrun.runner.machine_exchange.machine_exchange", lambda *_: exchange)
    ClientThreads(MagicMock(), {}, MagicMock(has_begun=False), MagicMock(), Afterwards()).mapped(thread)
    assert rings.exchange is exchange


def test_an_error_at_the_exit_of_a_thread_ends_the_recording_only(monkeypatch: pytest.MonkeyPatch) -> None:
    rings, recording, error = MagicMock(processes={os.getpid()}), MagicMock(has_begun=True), ValueError()
    rings.exited.side_effect = error
    monkeypatch.setattr(client_threads, "watch_rings", lambda *_: rings)
    monkeypatch.setattr(client_threads, "clocks_of_clients", lambda _source: {})
    threads = ClientThreads(MagicMock(), {}, recording, MagicMock(), Afterwards())
    threads.mapped(mapping_thread())
    threads.ended(mapping_thread())
    recording.fail.assert_called_once_with(error)


def test_work_is_done_once_in_order() -> None:
    afterwards, done = Afterwards(), list[int]()

    def first() -> None:
        done.append(1)
        afterwards.add(lambda: done.append(3))

    afterwards.add(first)
    afterwards.add(lambda: done.append(2))
    afterwards.do()
    afterwards.do()
    assert done == [1, 2, 3]
