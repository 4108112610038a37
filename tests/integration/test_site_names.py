"""The process that looks up names of sites: when it exists, and that programs do not notice it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.run import SECONDS, Htrun, changed_htrun, tracer_of
from tests.support.toolchain import Toolchain

_EMITS_AND_WAITS = r"""
    #include <qemu-hypertrace.h>
    #include <sys/wait.h>
    #include <unistd.h>
    int main(void) {
        char byte;
        qemu_hypertrace_init(0);
        qemu_hypertrace(0);
        if (write(1, "x", 1) != 1 || read(0, &byte, 1) < 0)
            return 1;
        return wait(0) != -1;
    }
"""
_NO_HELPER = "import htrun.intercept.symbol_helper\nhtrun.intercept.symbol_helper.SymbolHelper = None\n"


@pytest.fixture
def guest(toolchain: Toolchain) -> Path:
    """Emits, writes a byte, and waits for the end of its input; fails if it has a child."""
    return toolchain.compile_text(_EMITS_AND_WAITS, "emits_and_waits")


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _fields(process: int) -> list[str]:
    """The fields of /proc/PID/stat, starting with the state."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()


@pytest.mark.parametrize("end", ["program", "tracer"])
def test_the_helper_is_apart_and_ends_with_the_tracer(end: str, guest: Path, htrun: Htrun, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONSTARTUP": "/x", "SECRET": "x"}
    command = [*htrun.command(), str(guest)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.read(1) == b"x"
        tracer = tracer_of(program.pid)
        while not (helpers := _children(tracer)) or Path(f"/proc/{helpers[0]}/environ").read_bytes():
            pass
        (helper,) = helpers
        descriptor = os.pidfd_open(helper)
        session, group = _fields(helper)[3], _fields(helper)[2]
        assert session == _fields(tracer)[3] != _fields(program.pid)[3]
        assert group != _fields(program.pid)[2]
        while os.sched_getscheduler(helper) != os.SCHED_IDLE:
            pass
        if end == "program":
            program.stdin.close()
        else:
            os.kill(tracer, signal.SIGKILL)
        assert program.wait(SECONDS) == (0 if end == "program" else -signal.SIGKILL)
    assert select.select([descriptor], [], [], SECONDS)[0]
    os.close(descriptor)
    if end == "program":
        assert {
            site["symbol"].partition("+")[0]
            for site in json.loads((htrun.directory / "summary.json").read_text())["sites"]
        } >= {"main"}


def test_without_sites_there_is_no_helper(tmp_path: Path) -> None:
    """The process does not exist, either, if names are not requested."""
    program = changed_htrun(tmp_path, _NO_HELPER)
    done = subprocess.run([program, "--summary", tmp_path / "s", "true"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads((tmp_path / "s").read_text())["sites"] == []


def test_without_summary_there_is_no_helper(guest: Path, tmp_path: Path) -> None:
    program = changed_htrun(tmp_path, _NO_HELPER)
    command: list[str | Path] = [program, "--via", "store", "-o", tmp_path / "trace", guest]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("x", "")


def test_a_helper_that_does_not_start_costs_names_only(guest: Path, tmp_path: Path) -> None:
    program = changed_htrun(tmp_path, "import sys\nsys.executable = '/nonexistent'")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    options: list[str | Path] = ["--via", "store", "-D", tmp_path / "log", "--summary", tmp_path / "s"]
    command: list[str | Path] = [program, *options, guest]
    done = subprocess.run(command, env=environment, input="", capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("x", "")
    summary = json.loads((tmp_path / "s").read_text())
    assert (summary["events"], summary["failure"]) == (1, None)
    assert {site["symbol"].partition("+")[0] for site in summary["sites"]} == {"emits_and_waits"}
