"""Programs that cannot be traced: their events are exact, under and above debuggers, valgrind and sandboxes. htrun runs
with --no-ptrace, or without it if htrun detects the situation itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_no_ptrace import UNTRACED
from tests.integration.test_rings import GUESTS, check_exact
from tests.support.requirements import missing, require_tool
from tests.support.run import HTRUN, IGNORING_CHILDREN, SECONDS, Htrun, Result
from tests.support.sandbox import sandbox_without
from tests.support.toolchain import Toolchain

EVENTS = 50_000
OF_THREADS = {0: EVENTS, 1: EVENTS}
CHILDREN = 4
OF_A_CHILD = 10_000
OF_FORKS = {0: CHILDREN * OF_A_CHILD, **dict.fromkeys(range(1, CHILDREN + 1), OF_A_CHILD)}
FORKS = ("forks", str(CHILDREN), str(OF_A_CHILD))
THREADS = ("threads", "2", str(EVENTS))


GDB = ("gdb", "-q", "-batch", "-ex", "run", "--args")
TOOLS: dict[str, tuple[str, ...]] = {
    "gdb": GDB,
    "strace": ("strace", "-f", "-qq", "-o", "/dev/null"),
    "valgrind": ("valgrind", "-q"),
    "setpriv --no-new-privs": ("setpriv", "--no-new-privs"),
    "another user": ("setpriv", "--reuid=65534", "--clear-groups"),
    "user namespace": ("unshare", "--user", "--map-root-user"),
    "PID namespace": ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"),
}
"""Each is the start of a command line."""
AROUND: dict[str, tuple[str, ...]] = {
    **{name: tool for name, tool in TOOLS.items() if name not in ("gdb", "valgrind", "another user")},
    # gdb stays with the first process, which is the program's supervisor.
    "gdb": GDB,
    "valgrind": ("valgrind", "-q", "--trace-children=yes", "--trace-children-skip=*python*,*-tracer"),
}


SETUID = """
#include "exact_events.h"

/* Prints its effective user. */
int main(void)
{
    start_events();
    dprintf(1, "%d\\n", (int)geteuid());
    emit_run(1, 50000);
    return 0;
}
"""


@pytest.fixture
def program(toolchain: Toolchain, tmp_path: Path) -> Path:
    """A directory in which another user can execute it."""
    return toolchain.compile(GUESTS / "ring_emitters.c")


@pytest.fixture
def denied(toolchain: Toolchain) -> Path:
    """Runs another program without the right to trace."""
    return sandbox_without("SYS_ptrace", toolchain)


def require(name: str, tool: tuple[str, ...]) -> None:
    if tool[0] in ("gdb", "strace", "valgrind"):
        require_tool(tool[0], tool[0])
    elif ("namespace" in name or "user" in name) and subprocess.run([*tool, "true"], capture_output=True).returncode:
        missing(f"the right to run a program with {name}")


def started(htrun: Htrun, before: tuple[str | Path, ...], options: tuple[str, ...], *program: str | Path) -> Result:
    """Run htrun below the command ``before``."""
    command = [*map(str, before), *htrun.command(*options), *map(str, program)]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=SECONDS, env=os.environ | {})
    log, summary = htrun.directory / "log", htrun.directory / "summary.json"
    return Result(command, done.returncode, done.stdout, done.stderr, htrun.channel, log, summary)


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize(("words", "expected"), [(THREADS, OF_THREADS), (FORKS, OF_FORKS)], ids=["threads", "forks"])
def test_below_htrun(words: tuple[str, ...], expected: dict[int, int], name: str, program: Path, htrun: Htrun) -> None:
    require(name, TOOLS[name])
    result = htrun.run(*TOOLS[name], program, *words, options=UNTRACED)
    check_exact(result, expected)
    assert result.summary["ring_events"] == sum(expected.values())
    assert "htrun:" not in result.stderr


@pytest.mark.parametrize("name", AROUND)
def test_above_htrun(name: str, program: Path, htrun: Htrun) -> None:
    require(name, AROUND[name])
    result = started(htrun, AROUND[name], UNTRACED, program, *FORKS)
    check_exact(result, OF_FORKS)
    assert "htrun:" not in result.stderr


def test_where_the_ends_of_children_are_ignored(program: Path, htrun: Htrun) -> None:
    check_exact(started(htrun, IGNORING_CHILDREN, UNTRACED, program, *THREADS), OF_THREADS)


def test_htrun_below_htrun(program: Path, htrun: Htrun) -> None:
    """The inner htrun notices that its program is already traced."""
    result = htrun.run(HTRUN, "-D", "/dev/null", program, "threads", "2", "100", options=("--via", "auto"))
    assert result.status == 0
    assert "htrun: warning: cannot trace (process " in result.stderr


@pytest.mark.parametrize("name", ["ptrace denied", "strace", "valgrind"])
def test_what_htrun_finds_out(name: str, program: Path, denied: Path, htrun: Htrun) -> None:
    """One line says so; then the program runs untraced, if the options allow it."""
    before: tuple[str | Path, ...] = (denied,) if name == "ptrace denied" else AROUND[name]
    require(name, tuple(map(str, before)))
    result = started(htrun, before, ("--via", "auto"), program, *THREADS)
    check_exact(result, OF_THREADS)
    assert result.summary["no_ptrace"]
    [line] = [line for line in result.stderr.splitlines() if line.startswith("htrun:")]
    assert line.startswith("htrun: warning: cannot trace (")
    assert line.endswith(
        "): the program runs untraced, so only events that the guest library writes to rings are recorded (--no-ptrace)"
    )
    assert "htrun:" not in started(htrun, before, ("--via", "auto", "-q"), program, "threads", "2", "10").stderr


@pytest.mark.parametrize("options", [("--via", "store"), ("--via", "auto", "--syscalls", "read")])
def test_what_cannot_be_done_is_refused(options: tuple[str, ...], program: Path, denied: Path, htrun: Htrun) -> None:
    result = started(htrun, (denied,), options, program, "threads", "2", "10")
    assert result.status == 125
    [line] = result.stderr.splitlines()
    assert line.startswith("htrun: cannot trace (")
    assert line.endswith("Operation not permitted): does a sandbox or kernel.yama.ptrace_scope forbid ptrace?")


def test_without_ptrace_nobody_is_asked(program: Path, denied: Path, htrun: Htrun) -> None:
    result = started(htrun, (denied,), UNTRACED, program, *THREADS)
    check_exact(result, OF_THREADS)
    assert result.stderr == ""


def test_as_process_one(program: Path, htrun: Htrun) -> None:
    container = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
    require("a PID namespace", container)
    result = started(htrun, container, UNTRACED, program, *FORKS)
    check_exact(result, OF_FORKS)
    assert result.stderr == ""


def test_a_setuid_program(toolchain: Toolchain, htrun: Htrun) -> None:
    """The program changes its user, and cannot be inspected. It finds the channel by the descriptor that it
    inherits."""
    if os.geteuid() != 0:
        missing("the right to make a program of another user")
    original = toolchain.compile_text(SETUID, "setuid", flags=(f"-I{GUESTS}",))
    program = Path(shutil.copy(original, htrun.directory / "setuid"))
    os.chown(program, 65534, 65534)
    program.chmod(0o4755)
    result = htrun.run(program, options=UNTRACED)
    assert (result.stdout, result.stderr) == ("65534\n", "")
    check_exact(result, {1: EVENTS})
