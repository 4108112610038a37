"""The known facts about the first process while its death is held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from htrun.tracee.first_process import FirstProcess
from htrun.tracee.stops import Exited, Killed


def test_an_exec_of_another_thread_lets_it_live_on() -> None:
    first = FirstProcess(1)
    first.exiting(0)
    assert first.held
    first.reported = True
    first.executed(by_another=False)
    assert (first.held, first.reported, first.is_oldest) == (False, False, True)
    first.exiting(0)
    first.executed(by_another=True)
    assert (first.held, first.is_oldest) == (False, False)
    first.executed(by_another=False)
    assert not first.is_oldest


@pytest.mark.parametrize(
    ("how", "status"), [(Exited(1, 0), 0), (Exited(1, 7), 7), (Killed(1, signal.SIGTERM), -signal.SIGTERM)]
)
def test_exit_status(how: Exited | Killed, status: int) -> None:
    first = FirstProcess(1)
    assert first.exit_status == 0
    first.died(how)
    assert first.exit_status == status


def test_a_held_death_is_seen_and_not_reaped() -> None:
    """It takes precedence over the status in the exit event of a leader that exits before other threads."""
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    first = FirstProcess(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert first.death() is None
    first.exiting(0)
    assert first.death() == 3 << 8
    first.settle()
    assert first.exit_status == 3
    assert child.wait() == 3
    assert first.death() is None
    first.settle()
    assert first.exit_status == 3
