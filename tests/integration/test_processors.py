"""``htrun --cpu``: the processors on which a program runs, and the trace's record of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from htrun.analysis.trace import Trace
from tests.support.run import HTRUN, Htrun

OWN = sorted(os.sched_getaffinity(0))
SHOW = (
    "import os\n"
    "print(sorted(os.sched_getaffinity(0)), flush=True)\n"
    "if os.fork() == 0: print(sorted(os.sched_getaffinity(0)), flush=True)\n"
    "else: os.wait()\n"
)


def ranges(processors: list[int]) -> str:
    """A list of all processors."""
    return ",".join(map(str, processors))


@pytest.mark.parametrize("processors", [OWN[:1], OWN[-1:], OWN], ids=["first", "last", "all"])
def test_a_program_and_its_children_run_on_these_only(htrun: Htrun, tmp_path: Path, processors: list[int]) -> None:
    trace = tmp_path / "trace"
    result = htrun.run(sys.executable, "-c", SHOW, options=("--cpu", ranges(processors), "-o", trace)).check()
    assert result.stdout == f"{processors}\n" * 2
    assert Trace.open(trace).environment["affinity"] == subprocess.run(
        ["taskset", "-c", ranges(processors), "sed", "-n", r"s/Cpus_allowed_list:\s*//p", "/proc/self/status"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()  # fmt: skip


def test_without_it_a_program_runs_where_its_caller_may(tmp_path: Path) -> None:
    command: list[str | Path] = ["taskset", "-c", str(OWN[0]), HTRUN, "-q", "--", sys.executable, "-c", SHOW]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{OWN[:1]}\n" * 2)


@pytest.mark.parametrize(
    ("processors", "words"),
    [
        ("99999", "there is no processor 99999 to run on"),
        (f"{OWN[0]},99998", "there is no processor 99998 to run on"),
        ("3-1", "there is no processor at all to run on"),
        ("", "must be numbers of processors"),
        ("0-", "must be numbers of processors"),
        ("first", "must be numbers of processors"),
    ],
)
def test_a_list_that_makes_no_sense(htrun: Htrun, processors: str, words: str) -> None:
    result = htrun.run("true", options=("--cpu", processors))
    assert (result.status, result.stdout) == (125, "")
    assert result.stderr.startswith(f"htrun: --cpu {processors}: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_processors_that_the_caller_may_not_use_are_none(tmp_path: Path) -> None:
    if len(OWN) < 2:
        pytest.fail("this needs two processors")
    command: list[str | Path] = ["taskset", "-c", str(OWN[0]), HTRUN, "--cpu", str(OWN[1]), "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path)
    assert done.returncode == 125
    assert f"there is no processor {OWN[1]} to run on" in done.stderr
