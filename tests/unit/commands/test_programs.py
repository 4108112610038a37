"""The exit codes, the output and the failures of the two programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import htrun
from tests.support.run import changed_htrun


def run(program: str, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"htrun.commands.{program}", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize(("program", "arguments"), [("run", []), ("run", ["-x"]), ("hypertrace", ["nonsense"])])
def test_bad_usage_is_one_line_and_125(program: str, arguments: list[str]) -> None:
    done = run(program, *arguments)
    name = "htrun" if program == "run" else program
    assert done.returncode == 125
    assert done.stdout == ""
    assert done.stderr.startswith(f"{name}: ")
    assert done.stderr.count("\n") == 1
    assert f"try: {name} --help" in done.stderr


@pytest.mark.parametrize(("program", "name"), [("run", "htrun"), ("hypertrace", "hypertrace")])
def test_version(program: str, name: str) -> None:
    done = run(program, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name} {htrun.__version__}\n", "")


@pytest.mark.parametrize("program", ["run", "hypertrace"])
def test_help(program: str) -> None:
    done = run(program, "--help")
    assert done.returncode == 0
    assert "usage:" in done.stdout
    assert done.stderr == ""


def test_help_to_a_full_disk_is_a_failure() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    done = run("run", "--help", stdout=full)
    os.close(full)
    assert done.returncode == 125
    assert done.stderr == "htrun: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize(("program", "argument"), [("run", "--help"), ("hypertrace", "info")])
def test_a_reader_that_has_gone_gives_no_traceback(program: str, argument: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run(program, argument, stdout=write)
    os.close(write)
    assert done.returncode == 125
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("cannot write to standard output: Broken pipe\n")


def test_info_tells_clock_and_events() -> None:
    done = run("hypertrace", "info")
    assert done.returncode == 0
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["version", "clock", "events"]
    assert "guest_hypertrace" in done.stdout


HEAVY = {"numpy", "iced_x86", "lief", "rich", "psutil", "argparse", "scipy", "dataclasses"}
"""The modules that dataclasses imports take a tenth of a start."""


@pytest.mark.parametrize("options", [[], ["-o", "trace"], ["-D", "log"]])
def test_a_run_without_events_imports_nothing_heavy(tmp_path: Path, options: list[str]) -> None:
    command: list[str | Path] = [changed_htrun(tmp_path, "", "-Ximporttime"), *options, "true"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "htrun.runner.loop" in done.stderr
    assert HEAVY & imported == set()


def test_help_of_hypertrace_imports_no_numpy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "htrun.commands.hypertrace", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "htrun.commands.stat" in done.stderr
    assert "numpy" not in done.stderr


def test_start_up_imports_nothing_heavy() -> None:
    code = (
        "import sys; import htrun.commands.run\n"
        "print({'numpy', 'rich', 'psutil', 'argparse', 'iced_x86', 'htrun.runner.run'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_program_waits_for_no_module_that_only_a_run_needs() -> None:
    """They are imported while the program starts."""
    code = (
        "import sys; import htrun.runner.run\n"
        "print({f'htrun.{name}' for name in ('tracee.wait', 'tracee.stops', 'tracee.stopped', 'runner.loop')}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
