"""Completion in bash, zsh and fish, in the shells themselves."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from htrun.commands import options
from htrun.commands.completed_line import line_of_help
from htrun.commands.hypertrace import COMPLETION
from htrun.commands.options import HELP, parse
from htrun.errors import HtrunError
from tests.support.hypertrace import said
from tests.support.requirements import require_directory, require_tool

SHELLS = ("bash", "zsh", "fish")
CASES = [
    ("htrun --overf", "--overflow"),
    ("htrun --overflow bl", "block"),
    ("htrun -trace guest_hy", "guest_hypertrace"),
    ("htrun -o out --format parq", "parquet"),
    ("htrun --events nam", "names.toml"),
    ("htrun -q -o out app on", "one"),
    ("htrun -q -- app on", "one"),
    ("hypertrace conv", "convert"),
    ("hypertrace print --wher", "--where"),
    ("hypertrace print --color alw", "always"),
    ("hypertrace convert some-trace out --format parq", "parquet"),
    ("hypertrace print some", "some-trace/"),
    ("hypertrace print --events nam", "names.toml"),
    ("hypertrace completion bas", "bash"),
    ("hypertrace top -- app on", "one"),
    ("hypertrace run --overflow bl", "block"),
    ("hypertrace run -q app on", "one"),
]
"""Lines to complete, and the word that each last word must become. The program ``app`` has a completion of its own."""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with the scripts, a trace and a file."""
    for shell in SHELLS:
        for command in ("htrun", "hypertrace"):
            (tmp_path / f"{command}.{shell}").write_text(COMPLETION.script(shell, command))
    (tmp_path / "some-trace").mkdir()
    (tmp_path / "names.toml").touch()
    (tmp_path / "app").write_text("#!/bin/sh\n")
    (tmp_path / "app").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*command: str) -> str:
    """Run a command; returns its output. It must print no error."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stderr == ""
    return done.stdout


def in_bash(lines: list[str], *, library: bool = True) -> list[str]:
    """The completions of each line. ``library``: with bash-completion loaded."""
    script = "source htrun.bash; source hypertrace.bash; complete -W 'one two' app\n"
    if library:
        loader = require_directory(Path("/usr/share/bash-completion"), "bash-completion") / "bash_completion"
        script = f"source {loader}; {script}"
    for line in lines:
        function = f"_{line.split()[0]}"
        words = re.sub("=", " = ", line)
        script += f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{line}'; "
        script += f'COMP_POINT=${{#COMP_LINE}}; {function}; echo "${{COMPREPLY[*]}}"\n'
    return run("bash", "--norc", "-c", script).splitlines()


def in_fish(lines: list[str]) -> list[str]:
    """The same for fish, which prints the completions itself, with descriptions."""
    require_tool("fish", "fish")
    script = "source htrun.fish; source hypertrace.fish; complete -c app -f -a 'one two'\n"
    script += "".join(f"complete -C '{line}'; echo .\n" for line in lines)
    parts = re.split(r"^\.\n", run("fish", "--no-config", "-c", script), flags=re.MULTILINE)
    return [" ".join(row.split("\t")[0] for row in part.splitlines()) for part in parts[:-1]]


def in_zsh(lines: list[str]) -> list[str]:
    """The last word of each line after Tab was pressed, on a terminal. The key Ctrl-X prints the line."""
    require_tool("zsh", "zsh")
    Path("start.zsh").write_text(
        "autoload -U compinit; compinit -u -D; source ./htrun.zsh; source ./hypertrace.zsh\n"
        "_app() { compadd one two }; compdef _app app\n"
        "shown() { print -r -- $BUFFER >> lines; BUFFER=; print -r -- $'\\n'\"<shown>\" }\n"
        "zle -N shown; bindkey '^X' shown; unsetopt auto_list beep; PS1='<ready>'\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb", "PS1": "<start>"})
    try:
        read_until(terminal, b"<start>")
        os.write(terminal, b"source ./start.zsh\n")
        read_until(terminal, b"<ready>")
        for line in lines:
            os.write(terminal, f"{line}\t\x18".encode())
            read_until(terminal, b"<shown>")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    return [line.split()[-1].rstrip("=") for line in Path("lines").read_text().splitlines()]


def read_until(terminal: int, marker: bytes) -> None:
    """Read what a terminal shows, up to ``marker``."""
    shown = b""
    while marker not in shown:
        ready, _, _ = select.select([terminal], [], [], 120)
        assert ready, shown
        shown += os.read(terminal, 1 << 16)


@pytest.mark.parametrize("complete", [in_bash, in_fish, in_zsh])
def test_lines(directory: Path, complete: Callable[[list[str]], list[str]]) -> None:
    found = complete([line for line, _ in CASES])
    directories = complete is not in_bash
    wanted = [word if directories else word.rstrip("/") for _, word in CASES]
    assert dict(zip([line for line, _ in CASES], found, strict=True)) == dict(
        zip([line for line, _ in CASES], wanted, strict=True)
    )


def test_bash_by_itself(directory: Path) -> None:
    lines = ["htrun --via=st", "htrun --via=", "htrun app nam", "hypertrace print --color=al"]
    lines += ["hypertrace bench -r 3 --cp", "hypertrace --v", "hypertrace compare some"]
    assert in_bash(lines, library=False) == [
        *("store", "auto store ring", "names.toml", "always", "--cpu", "--version", "some-trace"),
    ]


def test_each_option_of_htrun_is_completed_and_described() -> None:
    found = line_of_help(HELP, {}).options
    names = [name for option in found for name in option.names]
    assert len(names) == len(set(names))
    assert [option.names for option in found if not option.help] == [("--version",), ("-h",), ("--help",)]
    for option in found:
        assert [takes_value(name) for name in option.names] == [option.value is not None] * len(option.names)


def takes_value(name: str) -> bool:
    """Whether the parser of htrun wants a value for the option ``name``."""
    try:
        parse([name])
    except HtrunError as error:
        return str(error) == f"{name} needs a value; try: htrun --help"
    return False


def test_every_option_that_htrun_takes_is_in_its_help() -> None:
    known = {*options._VALUES, *options._FLAGS, *options._PATTERN_OPTIONS, *options._TRACE_OPTIONS, "--syscalls", "-e"}
    assert known <= {name for option in line_of_help(HELP, {}).options for name in option.names}


def test_the_verb_prints_a_script() -> None:
    assert said("completion", "fish", "htrun") == COMPLETION.script("fish", "htrun")
    assert said("completion", "bash") == COMPLETION.script("bash", "hypertrace")
