"""The end of a run on request."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from htrun.runner.ending import Killing
from htrun.runner.tracees import Tracees


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started = [subprocess.Popen(["sleep", "infinity"]) for _ in range(3)]
    yield started
    for each in started:
        each.kill()
        each.wait()


class Known(list[int]):
    """The ids of tracees."""

    threads = SimpleNamespace()


def test_a_tracee_that_a_stop_makes_meanwhile_is_killed_too(sleepers: list[subprocess.Popen[bytes]]) -> None:
    """Its first stop may already be handled, and a process that is killed at its event has no further stop."""
    first, second, third = sleepers
    known = Known([first.pid])
    ending = Killing(cast(Tracees, known))
    ending.ask()
    assert ending.asked
    assert first.wait() == -9
    known[:] = [second.pid]
    ending.stop_handled()
    assert second.wait() == -9
    # Later ones are killed at their first stop.
    known[:] = [third.pid]
    ending.stop_handled()
    assert third.poll() is None
    ending.ask()
    assert third.wait() == -9
