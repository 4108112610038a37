"""docs/three-kernels.md: its files, its commands in their order, and their results."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.documents import fenced
from tests.support.emulators import GENERATIONS, Generation
from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.toolchain import ROOT

DOCUMENT = "three-kernels.md"
KERNELS = ("memcpy", "hash", "matrix")

Run = Callable[[str], str]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """With the document's files."""
    names, matrix = fenced(DOCUMENT, "toml")
    [program] = fenced(DOCUMENT, "c")
    for name, content in (("kernels.toml", names), ("matrix.toml", matrix), ("kernels.c", program)):
        (tmp_path / name).write_text(content)
    shutil.copytree(ROOT / "guest" / "user", tmp_path / "user", ignore=shutil.ignore_patterns("build"))
    return tmp_path


def run(command: str, directory: Path, emulators: Path) -> str:
    """The output of ``command``. ``emulators``: the directory with the emulators that it uses."""
    path = f"{HTRUN.parent}:{emulators}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env=os.environ | {"PATH": path, "HT": str(directory / "user")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def verdicts(told: str) -> dict[str, str]:
    """The last word of each kernel's line."""
    rows = [line.split() for line in told.splitlines()]
    return {row[0]: row[-1] for row in rows if row and row[0] in KERNELS}


@pytest.mark.heavy("a matrix of five emulators; test_bench_verb.py tries smaller ones")
@pytest.mark.parametrize("generation", GENERATIONS[:2], ids=lambda generation: generation.name)
def test_the_example(generation: Generation, directory: Path) -> None:
    require_tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
    if generation.version() >= (8, 1):
        matrix = directory / "matrix.toml"
        matrix.write_text(matrix.read_text().replace("-singlestep", "-one-insn-per-tb"))
    emulators = generation.directory()
    header, build, bench, compare, again = fenced(DOCUMENT, "sh")
    for command in (*header.splitlines(), *build.splitlines()):
        run(command, directory, emulators)
    cells = run(bench, directory, emulators)
    for emulator in ("x86_64", "aarch64"):
        for each in KERNELS:
            lines = [line for line in cells.splitlines() if line.split()[1:3] == [f"{emulator}-one", each]]
            assert len(lines) == 1, cells
            assert lines[0].endswith(("slower than native", "inconclusive")), cells
    for command in compare.splitlines():
        told = verdicts(run(command, directory, emulators))
        # On a busy machine the verdict may be inconclusive, but never the opposite.
        assert sorted(told) == sorted(KERNELS)
        assert set(told.values()) <= {"slower", "inconclusive"}, told
    assert "memcpy" in run(again, directory, emulators)
