"""Debuggers and checkers that are tracers, or that run a program's code themselves: for each there is a message of one
line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.requirements import require_tool
from tests.support.run import HTRUN, Htrun
from tests.support.toolchain import Toolchain

_CLEAN = """
#include <stdlib.h>
int main(void)
{
    free(malloc(3));
    return 0;
}
"""
_EMITS = """
#include <qemu-hypertrace.h>
#include <stddef.h>
int main(void)
{
    if (qemu_hypertrace_init(NULL) != 0) {
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        qemu_hypertrace_data(0)[0] = i;
        qemu_hypertrace(0);
    }
    return 0;
}
"""


_ATTACHES = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
int main(int argc, char **argv)
{
    printf("%ld\\n", argc > 1 ? ptrace(PTRACE_SEIZE, atoi(argv[1]), 0, 0) : -1);
    return 0;
}
"""


def warnings_of(errors: str) -> list[str]:
    """htrun's lines on standard error, without the ids of processes."""
    words = [line.removeprefix("htrun: warning: ") for line in errors.splitlines() if line.startswith("htrun: warning")]
    return [" ".join("N" if word.strip(",:)").isdigit() else word for word in line.split()) for line in words]


@pytest.mark.parametrize("sanitizer", ["address", "leak"])
def test_leak_sanitizer(sanitizer: str, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(_CLEAN, "clean", flags=(f"-fsanitize={sanitizer}",))
    done = htrun.run(program)
    assert done.status != 0
    assert "LeakSanitizer has encountered a fatal error" in done.stderr
    assert warnings_of(done.stderr) == [
        "LeakSanitizer in process N will fail: htrun traces the process, and a process has one tracer; "
        "turn it off with ASAN_OPTIONS=detect_leaks=0 or LSAN_OPTIONS=detect_leaks=0"
    ]
    assert done.summary["warnings"] == {"second-tracer": 1}
    variable = {"address": "ASAN_OPTIONS", "leak": "LSAN_OPTIONS"}[sanitizer]
    done = htrun.run(program, env={variable: "detect_leaks=0"})
    assert (done.status, done.stderr) == (0, "")


@pytest.mark.parametrize("tool", [["gdb", "-batch", "-ex", "run"], ["strace", "-qq"]], ids=["gdb", "strace"])
def test_a_tracer_inside(tool: list[str], htrun: Htrun) -> None:
    require_tool(tool[0], tool[0])
    done = htrun.run(*tool, "/bin/true")
    [warning] = warnings_of(done.stderr)
    assert warning.startswith(f"{tool[0]} (process N cannot trace process N htrun traces it, and a process has one")
    assert warning.endswith(f"; run {tool[0]} without htrun")


def test_what_htrun_does_not_trace_may_be_traced(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(_ATTACHES, "attaches")
    with subprocess.Popen(["sleep", "100"]) as outside:
        done = htrun.run(program, str(outside.pid))
        outside.kill()
    assert (done.status, done.stdout, done.stderr) == (0, "0\n", "")


def test_valgrind_inside(toolchain: Toolchain, htrun: Htrun) -> None:
    require_tool("valgrind", "valgrind")
    program = toolchain.compile_text(_EMITS, "emits")
    done = htrun.run("valgrind", program)
    assert (done.status, done.summary["kinds"]["guest_hypertrace"]) == (0, 3)
    assert warnings_of(done.stderr) == [
        "valgrind reads the control region of process N as its leak check reads all memory: this is not an error of "
        "the program; --leak-check=no turns the leak check off"
    ]
    assert done.summary["warnings"] == {"load": 1}
    quiet = htrun.run("valgrind", "--leak-check=no", program)
    assert warnings_of(quiet.stderr) == []


def test_inside_valgrind() -> None:
    require_tool("valgrind", "valgrind")
    words: list[str | Path] = ["valgrind", "-q", HTRUN, "--via", "store", "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("==")]
    assert done.returncode == 125
    assert lines == [
        "htrun: htrun cannot trace inside valgrind: valgrind knows no seccomp filters; try htrun valgrind PROGRAM"
    ]
