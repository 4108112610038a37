"""Detection of sleeping threads, with real threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from htrun.intercept import asleep
from htrun.intercept.asleep import Asleep
from htrun.tracee.ptrace import MOST_THREADS
from tests.support.waiting import wait_until


@contextmanager
def process(code: str) -> Iterator[subprocess.Popen[bytes]]:
    program = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


SLEEPER = "import sys\nwhile line := sys.stdin.buffer.readline():\n print(flush=True)"


def sleeps(tid: int) -> bool:
    with open(f"/proc/{tid}/syscall", encoding="ascii") as call:
        return call.read().startswith("0 0x0 ")  # read(0, ...)


def test_a_thread_that_sleeps_is_still_asleep_until_it_has_run() -> None:
    with process(SLEEPER) as program:
        wait_until(lambda: sleeps(program.pid), "the program sleeps")
        others = Asleep([program.pid])
        assert others.still()
        assert others.still()
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(b"\n")
        program.stdin.flush()
        program.stdout.readline()
        wait_until(lambda: sleeps(program.pid), "the program sleeps")
        assert not others.still(), "it sleeps again, but has run meanwhile"
        assert Asleep([program.pid]).still()


def test_a_thread_that_runs_is_not_asleep() -> None:
    with process("while True: pass") as program:
        wait_until(lambda: os.path.basename(os.readlink(f"/proc/{program.pid}/exe")).startswith("python"), "exec")
        assert not Asleep([program.pid]).still()


def test_nothing_is_known_of_a_thread_that_is_gone() -> None:
    assert not Asleep([MOST_THREADS]).still()


def test_no_threads_sleep() -> None:
    assert Asleep([]).still()


def test_many_threads_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asleep, "_read", None)
    assert not Asleep(range(1, 100)).still()


@pytest.mark.parametrize("schedstat", [b"0 0 0\n", b"\n", b""])
def test_a_kernel_that_does_not_count(monkeypatch: pytest.MonkeyPatch, schedstat: bytes) -> None:
    monkeypatch.setattr(asleep, "_read", lambda _tid, name: schedstat if name == "schedstat" else b"0 0x0 0x0\n")
    assert not Asleep([1]).still()


def test_a_thread_that_runs_between_the_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter((b"9 9 7\n", b"9 9 8\n"))
    monkeypatch.setattr(asleep, "_read", lambda _tid, name: next(counts) if name == "schedstat" else b"0 0x0 0x0\n")
    assert not Asleep([1]).still()
