"""htrun under an interactive shell on a real terminal: keys and signals have the same effect as on the program alone.

Afterwards, no process and no channel exists, and the terminal settings are unchanged.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import shlex
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import leftovers
from tests.support.requirements import require_tool
from tests.support.run import HTRUN, tell_to_end
from tests.support.toolchain import Toolchain
from tests.support.waiting import PATIENCE

_PROMPT = "ready> "
_EITHER_WAY = pytest.mark.parametrize("options", [(), ("--no-ptrace",)], ids=["traced", "untraced"])


class Shell:
    """``bash -i`` on a pseudo-terminal of its own."""

    def __init__(self, directory: Path) -> None:
        bash = require_tool("bash", "bash")
        self._master: int | None
        self._master, slave = os.openpty()
        self._seen = ""
        try:
            self._process = subprocess.Popen(
                [bash, "--norc", "--noprofile", "--noediting", "-i"],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=directory,
                env={"PATH": os.environ["PATH"], "PS1": _PROMPT, "TERM": "dumb", "LANG": "C", "HOME": str(directory)},
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        finally:
            os.close(slave)
        self.read_until(_PROMPT)

    def type(self, keys: str) -> None:
        assert self._master is not None
        os.write(self._master, keys.encode())

    def read_until(self, text: str) -> str:
        """The output of the terminal up to ``text``."""
        assert self._master is not None
        deadline = time.monotonic() + PATIENCE
        while text not in self._seen:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {text!r} within {PATIENCE} s; the terminal shows {self._seen!r}"
            self._seen += os.read(self._master, 65536).decode(errors="replace").replace("\r\n", "\n")
        before, _, self._seen = self._seen.partition(text)
        return before

    def ask(self, command: str) -> str:
        """The output of ``command``."""
        self.type(f"{command}\n")
        self.read_until(f"{command}\n")
        return self.read_until(_PROMPT)

    def settings(self) -> list[object]:
        """The terminal's settings, from tcgetattr."""
        assert self._master is not None
        return termios.tcgetattr(self._master)

    def owns_the_terminal(self) -> bool:
        """Whether the shell, and no job of it, is the terminal's foreground group."""
        assert self._master is not None
        return os.tcgetpgrp(self._master) == self._process.pid

    def close(self) -> None:
        if self._master is not None:
            os.close(self._master)
            self._master = None
        self._process.kill()
        self._process.wait()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()
    leftovers.kill(str(tmp_path))


@pytest.fixture
def program(toolchain: Toolchain) -> Path:
    return toolchain.compile(Path(__file__).parent / "corpus" / "jobs" / "waits.c")


def _started(shell: Shell, command: str, *, background: bool = False) -> None:
    shell.type(f"{command}{' &' if background else ''}\n")
    shell.read_until("waiting\n")
    if background:
        # The shell may print its prompt before or after the program prints that it waits.
        shell.type('echo "at" "hand"\n')
        shell.read_until("at hand\n")
        shell.read_until(_PROMPT)


def _told(text: str, command: str) -> str:
    """The output of the shell, without process ids and command lines, which differ between runs."""
    return re.sub(r"\b\d{3,}\b", "PID", text.replace(command, "COMMAND"))


def _key(key: str) -> Callable[[Shell, str], list[str]]:
    def scenario(shell: Shell, command: str) -> list[str]:
        _started(shell, command)
        shell.type(key)
        return [shell.read_until(_PROMPT), shell.ask("echo $?")]

    return scenario


def _stop_and_foreground(shell: Shell, command: str) -> list[str]:
    told = []
    _started(shell, command)
    for _ in range(3):
        shell.type("\x1a")
        told += [shell.read_until(_PROMPT), shell.ask("echo $?"), shell.ask("jobs")]
        shell.type("fg\n")
        told.append(shell.read_until("going on\n"))
    shell.type("\x03")
    return [*told, shell.read_until(_PROMPT), shell.ask("echo $?")]


SCENARIOS = {
    "ctrl-c": _key("\x03"),
    "ctrl-backslash": _key("\x1c"),
    "ctrl-z-and-fg": _stop_and_foreground,
}


def _command(program: Path, mark: Path, *options: str) -> str:
    return shlex.join([f"{leftovers.VARIABLE}={mark}", *options, str(program)])


def _traced(program: Path, directory: Path, *more: str) -> str:
    options = [*more, "--hypertrace", str(directory / "channel"), "-D", str(directory / "log"), "--"]
    return _command(program, directory, str(HTRUN), *options)


@_EITHER_WAY
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_keys(scenario: str, options: tuple[str, ...], shell: Shell, program: Path, tmp_path: Path) -> None:
    shell.ask("ulimit -c 0")
    settings = shell.settings()
    told = []
    for command in (_command(program, tmp_path), _traced(program, tmp_path, *options)):
        told.append([_told(text, command) for text in SCENARIOS[scenario](shell, command)])
        assert leftovers.remaining(str(tmp_path)) == []
    assert told[1] == told[0]
    assert not os.path.lexists(tmp_path / "channel")
    assert shell.settings() == settings
    assert shell.owns_the_terminal()


@_EITHER_WAY
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_kill_of_the_job(
    number: signal.Signals, options: tuple[str, ...], shell: Shell, program: Path, tmp_path: Path
) -> None:
    settings = shell.settings()
    statuses = []
    for command in (_command(program, tmp_path), _traced(program, tmp_path, *options)):
        _started(shell, command, background=True)
        shell.type(f'kill -{number.value} -- -$!; wait $! 2>/dev/null; echo "status"=$?\n')
        shell.read_until("status=")
        statuses.append(shell.read_until("\n"))
        shell.read_until(_PROMPT)
        assert leftovers.remaining(str(tmp_path)) == []
        assert not os.path.lexists(tmp_path / "channel")
    assert statuses == [str(128 + number)] * 2
    assert shell.settings() == settings


@pytest.mark.parametrize("killed", [False, True], ids=["told to end", "killed"])
def test_end_of_the_tracer(killed: bool, shell: Shell, program: Path, tmp_path: Path) -> None:
    settings = shell.settings()
    _started(shell, _traced(program, tmp_path), background=True)
    tracer = int(re.findall(r"^TracerPid:\t(\d+)", shell.ask("grep TracerPid /proc/$!/status"), re.MULTILINE)[0])
    assert tracer > 0
    if killed:
        os.kill(tracer, signal.SIGKILL)
    else:
        tell_to_end(tracer)
    shell.type('wait $! 2>/dev/null; echo "status"=$?\n')
    shell.read_until("status=")
    assert int(shell.read_until("\n")) > 128, "a program without its tracer is killed"
    shell.read_until(_PROMPT)
    assert leftovers.remaining(str(tmp_path)) == []
    if not killed:
        assert not os.path.lexists(tmp_path / "channel")
    assert shell.settings() == settings
    # After SIGKILL, nothing is cleaned up: the link is stale, and the next run replaces it.
    _started(shell, _traced(program, tmp_path))
    shell.type("\x03")
    shell.read_until(_PROMPT)
    assert not os.path.lexists(tmp_path / "channel")


@_EITHER_WAY
def test_hang_up_of_the_terminal(options: tuple[str, ...], shell: Shell, program: Path, tmp_path: Path) -> None:
    _started(shell, _traced(program, tmp_path, *options))
    shell.close()
    # The terminal is gone: the program in its foreground gets SIGHUP, and no process may be left.
    assert leftovers.remaining(str(tmp_path)) == []
    assert not os.path.lexists(tmp_path / "channel")
