"""The steps that are made before the first trap."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from htrun.runner.preparation import Preparation, runs_emulator
from tests.support.requirements import require_tool
from tests.support.waiting import wait_until


def preparation(made: list[str], monkeypatch: pytest.MonkeyPatch, processors: int = 2) -> Preparation:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(processors)))

    def steps() -> Iterator[None]:
        made.append("first")
        yield
        made.append("second")

    return Preparation(steps)


def test_each_step_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    ahead = preparation(made, monkeypatch)
    assert not ahead.is_due(), "it has not begun"
    ahead.begin()
    assert ahead.is_due()
    assert not made
    ahead.step()
    assert made == ["first"]
    ahead.begin()
    ahead.step()
    assert made == ["first", "second"]
    ahead.begin()
    assert not ahead.is_due()


def test_nothing_is_prepared_on_a_single_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's start would wait for it."""
    ahead = preparation([], monkeypatch, processors=1)
    ahead.begin()
    assert not ahead.is_due()


def test_a_step_that_fails_is_left_to_the_first_trap(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps() -> Iterator[None]:
        yield from ()
        raise ImportError

    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    ahead = Preparation(steps)
    ahead.begin()
    ahead.step()
    assert not ahead.is_due()


def test_no_garbage_is_collected_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    enabled = []

    def steps() -> Iterator[None]:
        enabled.append(gc.isenabled())
        yield
        raise ImportError

    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    ahead = Preparation(steps)
    ahead.begin()
    for _ in range(2):
        ahead.step()
        assert gc.isenabled()
    assert enabled == [False]


def test_an_emulator_is_known_by_its_name(tmp_path: Path) -> None:
    emulator = tmp_path / "qemu-riscv64-static"
    shutil.copy(require_tool("cat", "coreutils"), emulator)
    with subprocess.Popen(["cat"], executable=emulator, stdin=subprocess.PIPE) as program:
        wait_until(lambda: runs_emulator(program.pid), "exec")
        program.kill()
    assert not runs_emulator(os.getpid())
    assert not runs_emulator(program.pid), "it is gone"
