"""A test that hangs cannot stop a whole run: the deadline of tests, tried with a tracer that hangs."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.deadline import deadline, no_deadline
from tests.support.run import HTRUN
from tests.support.waiting import wait_until

STOP_THE_TRACER = "kill -STOP $(sed -n 's/^TracerPid:.//p' /proc/$$/status); kill -USR1 $$"


def hangs(pid: int) -> bool:
    """Whether a program waits for its tracer, which is stopped."""

    def status_of(process: str) -> dict[str, str]:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    status = status_of(str(pid))
    tracer = status["TracerPid"]
    return tracer != "0" and status["State"].startswith("t") and status_of(tracer)["State"].startswith("T")


def test_a_hung_tracer_is_told_and_killed(tmp_path: Path) -> None:
    with subprocess.Popen([HTRUN, "-D", tmp_path / "log", "sh", "-c", STOP_THE_TRACER], stdout=subprocess.PIPE) as hung:
        wait_until(lambda: hangs(hung.pid), "a tracer that is stopped")
        with pytest.raises(pytest.fail.Exception) as failure, deadline(0.5):
            hung.wait()
    told = str(failure.value)
    assert "not ended after 0.5 s" in told
    assert f"{hung.pid} t sh -c" in told, "the program, which waits for its tracer"
    assert " T " in told, "the tracer, which was stopped"
    assert "Loop.run (htrun/runner/loop.py" in told, "where it was in its program"
    assert hung.returncode == -signal.SIGKILL


def test_what_ends_in_time_passes() -> None:
    with deadline(60):
        subprocess.run(["true"], check=True)


def test_a_download_has_all_the_time_it_needs() -> None:
    with deadline(0.5):
        with no_deadline():
            subprocess.run(["sleep", "1"], check=True)
        subprocess.run(["true"], check=True)
