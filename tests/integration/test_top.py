"""``hypertrace top`` on real runs, on a real terminal and without one."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.hypertrace import HYPERTRACE
from tests.support.run import HTRUN
from tests.support.spans import NAMES, trace_of_requests
from tests.support.toolchain import Toolchain

SECONDS = 240
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
"""The alternate screen, xterm's control sequences."""
GUEST = r"""
#include <qemu-hypertrace.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void emit(uint64_t name, uint64_t value)
{
    uint64_t *arguments = qemu_hypertrace_data(0);
    arguments[0] = name;
    arguments[1] = value;
    arguments[2] = 0;
    qemu_hypertrace(0);
}

/* Emits requests until the file in argv[1] is there, or, without one, 500 of them. */
int main(int argc, char **argv)
{
    if (qemu_hypertrace_init(NULL)) {
        perror("qemu_hypertrace_init");
        return 1;
    }
    puts("a guest's line");
    fflush(stdout);
    for (uint64_t i = 0; argc > 1 ? access(argv[1], F_OK) != 0 : i < 500; i++) {
        emit(1, i);
        emit(2, i);
        if (argc > 1)
            usleep(1000);
    }
    return 7;
}
"""


@pytest.fixture
def guest(toolchain: Toolchain) -> Path:
    """A program that emits requests."""
    return toolchain.compile_text(GUEST, "requests-until")


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """Names of its events."""
    path = tmp_path / "events.toml"
    path.write_text(NAMES)
    return path


@dataclass
class Run:
    """A run of htrun that continues until the test ends it."""

    trace: Path
    stop: Path
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        """Let it end."""
        self.stop.touch()
        assert self.process.wait(SECONDS) == 7


@pytest.fixture
def running(tmp_path: Path, guest: Path, names: Path) -> Iterator[Run]:
    """A run that emits a few thousand events a second."""
    trace, stop = tmp_path / "trace", tmp_path / "stop"
    command: list[str | Path] = [
        HTRUN,
        "-o",
        trace,
        "--hypertrace",
        f"{tmp_path}/channel,args=3",
        "--events",
        names,
        guest,
        stop,
    ]
    run = Run(trace, stop, subprocess.Popen(command, stdout=subprocess.DEVNULL))
    try:
        while not trace.is_dir():
            assert run.process.poll() is None
            time.sleep(0.01)
        yield run
    finally:
        stop.touch()
        run.process.wait(SECONDS)


@dataclass
class Terminal:
    """A terminal on which hypertrace runs. ``shown``: the output so far."""

    master: int
    slave: int
    process: subprocess.Popen[bytes]
    before: list[object]
    shown: bytes = b""

    def until(self, wanted: bytes) -> None:
        """Return when ``wanted`` has been shown."""
        deadline = time.monotonic() + SECONDS
        while wanted not in self.shown:
            assert self._read(deadline), self.shown[-2000:]

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self.master, keys)

    def end(self) -> int:
        """The exit code of hypertrace, after checking that the terminal is restored."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None:
            self._read(time.monotonic() + 0.05)
            assert time.monotonic() < deadline, self.shown[-2000:]
        while self._read(time.monotonic()):
            pass
        assert termios.tcgetattr(self.slave) == self.before
        assert self.shown.count(ENTER) == self.shown.count(LEAVE)
        assert self.shown.rfind(b"\x1b[?25h") > self.shown.rfind(b"\x1b[?25l")
        return self.process.returncode

    @property
    def after(self) -> str:
        """The content of the terminal after the view is closed."""
        return self.shown.rpartition(LEAVE)[2].decode()

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
        if ready:
            self.shown += os.read(self.master, 65536)
        return bool(ready)


@contextmanager
def terminal(*arguments: str | Path, size: tuple[int, int] = (40, 140)) -> Iterator[Terminal]:
    """Run ``hypertrace top`` on a terminal of ``size`` lines and columns."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, size)
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        [HYPERTRACE, "top", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"TERM": "xterm-256color"},
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
    )
    try:
        yield Terminal(master, slave, process, before)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def words(*arguments: str | Path, status: int = 0) -> str:
    """Its output without a terminal; if it fails, the one line on standard error."""
    done = subprocess.run([HYPERTRACE, "top", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == status, done.stderr
    if done.stderr:
        assert re.fullmatch(r"hypertrace: [^\n]+\n", done.stderr), done.stderr
        return done.stderr
    return done.stdout


@pytest.mark.parametrize("size", [(40, 140), (24, 80)])
def test_a_run_is_followed_until_q(running: Run, size: tuple[int, int]) -> None:
    with terminal(running.trace, "--interval", "0.1", size=size) as top:
        for shown in (b"request", b"requests-until", b"latest events", b"open spans", b"p99", b" /s"):
            top.until(shown)
        top.press(b"q")
        assert top.end() == 0
    assert re.search(r"^events: +[1-9]", top.after, re.MULTILINE)
    assert re.search(r"^request +[1-9]", top.after, re.MULTILINE)
    assert running.process.poll() is None


def test_ctrl_c_ends_it_and_not_the_run(running: Run) -> None:
    with terminal(running.trace) as top:
        top.until(b"p99")
        top.press(b"\x1a\x1c\x03")
        assert top.end() == 0
    assert running.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(running: Run, number: signal.Signals) -> None:
    with terminal(running.trace) as top:
        top.until(b"p99")
        top.process.send_signal(number)
        assert top.end() == -number


def test_it_ends_with_the_run(running: Run) -> None:
    with terminal(running.trace, "--interval", "0.1") as top:
        top.until(b"p99")
        running.end()
        assert top.end() == 0
    told = re.search(r"^events: +([\d,]+)", top.after, re.MULTILINE)
    info = subprocess.run([HYPERTRACE, "info", running.trace], capture_output=True, text=True, check=True).stdout
    assert told
    assert re.search(rf"^events: +{told[1]},", info, re.MULTILINE)


def test_it_ends_with_a_run_that_is_killed(running: Run) -> None:
    with terminal(running.trace, "--interval", "0.1") as top:
        top.until(b"p99")
        running.process.kill()
        assert top.end() == 0


def test_a_program_is_run_and_what_it_prints_comes_last(guest: Path, names: Path) -> None:
    with terminal("--events", names, "--interval", "0.1", "--", "--hypertrace", ",args=3", guest) as top:
        assert top.end() == 7
    assert "a guest's line" in top.after
    assert re.search(r"^request +500 ", top.after, re.MULTILINE)


def test_a_program_ends_with_its_view(guest: Path, names: Path, tmp_path: Path) -> None:
    with terminal("--events", names, "--", "--hypertrace", ",args=3", guest, tmp_path / "never") as top:
        top.until(b"p99")
        top.press(b"q")
        assert top.end() == 0
    assert "a guest's line" in top.after


def test_without_a_terminal_it_is_one_summary(tmp_path: Path) -> None:
    trace_of_requests(tmp_path / "trace", 8_000)
    text = words(tmp_path / "trace")
    assert re.search(r"^events: +8,000$", text, re.MULTILINE)
    assert re.search(r"^request +1,000 ", text, re.MULTILINE)
    assert re.search(r"^worker-3 +100 +103 +3 +2,000 ", text, re.MULTILINE)
    assert "\x1b" not in text


def test_without_a_terminal_a_program_is_waited_for(guest: Path, names: Path) -> None:
    text = words("--events", names, "--", "--hypertrace", ",args=3", guest, status=7)
    assert re.search(r"^events: +1,000$", text, re.MULTILINE)
    assert text.endswith("a guest's line\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give either the trace of a run or, after --, a program"),
        (["TRACE", "--", "true"], "give either the trace of a run or, after --, a program"),
        (["/nothing"], "/nothing is not a trace: it does not exist"),
        (["/etc/passwd"], "it is not a directory"),
        (["/dev"], "no file 'metadata'"),
        (["TRACE", "--interval", "0"], "must be from 0.05 to 60"),
        (["TRACE", "--interval", "x"], "invalid float value"),
        (["TRACE", "--events", "/no/file"], "cannot read /no/file"),
    ],
)
def test_bad_usage_is_told_in_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    trace_of_requests(tmp_path / "t", 100)
    assert reason in words(*(str(tmp_path / "t") if word == "TRACE" else word for word in arguments), status=125)
