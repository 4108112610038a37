"""Classes of system calls contain the same calls as strace's classes of the same name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from htrun.events.call_classes import call_classes
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table
from tests.support.argument_values import Call
from tests.support.run import HTRUN
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"
_CLASSES = tuple(call_classes())
_ARCHES = (ARCH_X86_64, ARCH_I386)
_NOT_ASKED_FOR = frozenset({"uretprobe", "restart_syscall", "rt_sigreturn", "sigreturn", "write", "exit_group"})
"""Calls that a filter cannot refuse, and those that the program makes itself."""


@pytest.fixture(scope="module")
def by_strace(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> dict[str, frozenset[str]]:
    """The calls of each class, among those that this strace knows."""
    program = toolchain.compile(_GUESTS / "calls_listed.c")
    calls = [
        Call(is_32, number, (0,) * 6)
        for is_32, arch in enumerate(_ARCHES)
        for number, name in table(arch).names.items()
        if name not in _NOT_ASKED_FOR
    ]
    found = {}
    for name in ("all", *_CLASSES):
        words = ["strace", "-qq", "-e", f"trace={name},write", "-e", "signal=none", "-o", "/dev/stdout", str(program)]
        done = subprocess.run(
            words, input=b"".join(call.pack() for call in calls), capture_output=True, check=True, timeout=240
        )
        lines = [line for line in done.stdout.decode().splitlines() if not line.startswith("[ Process PID=")]
        edges = [place for place, line in enumerate(lines) if line.startswith('write(1, "", 0)')]
        between = lines[edges[0] + 1 : edges[1]]
        found[name] = frozenset(line.partition("(")[0] for line in between)
    return found


@pytest.mark.parametrize("name", _CLASSES)
def test_the_calls_of_a_class_are_those_of_strace(name: str, by_strace: dict[str, frozenset[str]]) -> None:
    ours = call_classes()[name]
    known = {call for call in by_strace["all"] - _NOT_ASKED_FOR if not call.startswith("syscall_")}
    assert sorted((ours & known) - by_strace[name]) == []
    assert sorted((by_strace[name] & known) - ours) == []


def test_a_class_is_recorded(tmp_path: Path) -> None:
    """The same with strace's spelling of the option."""
    for option in (("-e", "trace=%file"), ("-e", "%file"), ("--syscalls", "%file")):
        command = (*option, "-D", str(tmp_path / "log"), "--decode", "cat", "/dev/null")
        subprocess.run([HTRUN, *command], check=True, stdin=subprocess.DEVNULL)
        log = (tmp_path / "log").read_text()
        assert ' execve(filename="' in log
        assert 'filename="/dev/null"' in log
        assert " close(" not in log
