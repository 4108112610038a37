"""An error in htrun, or a library that it cannot load, ends the recording with a message; the program continues."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.run import SECONDS, changed_htrun
from tests.support.toolchain import Toolchain

COUNT = 10_000
GUEST = f"""
#include <pthread.h>
#include <qemu-hypertrace.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void *emit(void *unused)
{{
    uint64_t client = qemu_hypertrace_client();
    for (int i = 0; i < {COUNT}; i++) {{
        qemu_hypertrace_data(client)[0] = (uint64_t)i;
        qemu_hypertrace(client);
    }}
    return unused;
}}

/* In this thread, in another, and in a child. */
int main(void)
{{
    pthread_t thread;
    int status = 1;

    if (qemu_hypertrace_init(NULL) != 0) {{
        return 1;
    }}
    emit(NULL);
    if (pthread_create(&thread, NULL, emit, NULL) != 0 || pthread_join(thread, NULL) != 0) {{
        return 2;
    }}
    if (fork() == 0) {{
        emit(NULL);
        _exit(5);
    }}
    wait(&status);
    printf("done %d\\n", WEXITSTATUS(status));
    return 7;
}}
"""
WITHOUT = """
import sys
sys.modules[{module!r}] = None
"""
FAILING = """
from htrun.intercept import patcher

class Patcher(patcher.Patcher):
    def patch(self, *_):
        raise ValueError("a mistake")

patcher.Patcher = Patcher
"""


@pytest.fixture
def guest(toolchain: Toolchain) -> Path:
    return toolchain.compile_text(GUEST, "failing_recorder", flags=("-pthread",))


def run(script: str, guest: Path, tmp_path: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """Standard error and the summary of an htrun that is changed by ``script``; the program runs as usual."""
    command: list[str | Path] = [changed_htrun(tmp_path, script), "--summary", tmp_path / "summary", *options, guest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (7, "done 5\n"), done.stderr
    summary: dict[str, Any] = json.loads((tmp_path / "summary").read_text())
    return done.stderr, summary


@pytest.mark.parametrize("via", ["store", "auto"])
@pytest.mark.parametrize("overflow", ["block", "drop", "overwrite"])
def test_a_drain_that_fails_discards_and_counts(overflow: str, via: str, guest: Path, tmp_path: Path) -> None:
    """In rings that fill up many times while no thread waits for them."""
    options = ["-q", "--via", via, "-o", str(tmp_path / "trace"), "--overflow", overflow, "--ring-size", "64K"]
    said, summary = run(WITHOUT.format(module="numpy"), guest, tmp_path, *options)
    first, *more = said.splitlines()
    assert first.startswith("htrun: internal error: ModuleNotFoundError: ")
    assert "recording has ended" in first
    assert all("not complete" in line for line in more)
    assert summary["failure"].startswith("ModuleNotFoundError: ")
    assert summary["warnings"]["internal"] == 1 + len(more)
    assert summary["events"] == 0
    if overflow == "block":
        assert summary["lost"] == 3 * COUNT
    assert (tmp_path / "trace" / "metadata").exists()


def test_recorded_calls_are_discarded_too(guest: Path, tmp_path: Path) -> None:
    options = ["-o", str(tmp_path / "trace"), "-trace", "guest*"]
    _, summary = run(WITHOUT.format(module="numpy"), guest, tmp_path, *options)
    assert summary["events"] == 0
    assert summary["lost"] > 3 * COUNT


@pytest.mark.parametrize(
    ("script", "events"), [(WITHOUT.format(module="iced_x86"), 0), (FAILING, 1)], ids=["no decoder", "no patches"]
)
def test_traps_that_fail_let_the_stores_happen(script: str, events: int, guest: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    said, summary = run(script, guest, tmp_path, "--via", "store", "-D", str(log))
    (line,) = said.splitlines()
    assert "recording has ended" in line
    assert summary["failure"]
    assert summary["events"] == events == len(log.read_text().splitlines())


@pytest.mark.parametrize("via", ["store", "auto"])
def test_a_summary_without_sites(via: str, guest: Path, tmp_path: Path) -> None:
    """A failure at the end affects nothing else."""
    log, script = tmp_path / "log", WITHOUT.format(module="htrun.intercept.site_report")
    said, summary = run(script, guest, tmp_path, "--via", via, "-D", str(log))
    assert "not complete" in said
    assert summary["failure"]
    assert summary["events"] == 3 * COUNT == len(log.read_text().splitlines())
