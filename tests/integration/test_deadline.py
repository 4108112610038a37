"""No test of this project can stop a whole run, whatever hangs: the tests' own deadline, with a tracer that hangs."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.deadline import deadline
from tests.support.run import HTRUN

STOP_THE_TRACER = "kill -STOP $(sed -n 's/^TracerPid:.//p' /proc/$$/status); kill -USR1 $$"


def test_a_hung_tracer_is_told_and_killed(tmp_path: Path) -> None:
    with (
        subprocess.Popen([HTRUN, "-D", tmp_path / "log", "sh", "-c", STOP_THE_TRACER], stdout=subprocess.PIPE) as hung,
        pytest.raises(pytest.fail.Exception) as failure,
        deadline(2),
    ):
        hung.wait()
    told = str(failure.value)
    assert "not ended after 2 s" in told
    assert f"{hung.pid} t sh -c" in told, "the program, which waits for its tracer"
    assert " T " in told, "the tracer, which was stopped"
    assert "Loop.run (htrun/runner/loop.py" in told, "where it was in its program"
    assert hung.returncode == -signal.SIGKILL


def test_what_ends_in_time_passes() -> None:
    with deadline(60):
        subprocess.run(["true"], check=True)
