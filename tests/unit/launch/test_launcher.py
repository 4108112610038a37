"""The launcher's file is its assembled source, the installed command is a copy of it, and plans have the layout that it
reads."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from pathlib import Path

import pytest

from htrun.launch import launcher
from htrun.launch.launcher import FILE, Launcher, Program, Supervision
from tests.support.requirements import require_tool
from tests.support.run import HTRUN

SOURCE = Path(launcher.__file__).with_name("launcher.S")


def test_the_bytes_are_those_of_the_source(tmp_path: Path) -> None:
    assembler, objcopy = require_tool("as", "binutils"), require_tool("objcopy", "binutils")
    assembled, code = tmp_path / "code.o", tmp_path / "code"
    subprocess.run([assembler, "--64", "-I", SOURCE.parent, "-o", assembled, SOURCE], check=True)
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", assembled, code], check=True)
    assert code.read_bytes() == Path(FILE).read_bytes(), "run: tools/assemble launcher"
    assert os.access(FILE, os.X_OK)


def test_the_installed_command_is_the_launcher() -> None:
    assert HTRUN.read_bytes() == Path(FILE).read_bytes(), "run: make setup"


class Sent:
    """A plan as a launcher has read it."""

    def __init__(self, data: bytes) -> None:
        (length,) = struct.unpack_from("=Q", data)
        self.data = data[8:]
        assert length == len(self.data)

    def word(self, address: int) -> int:
        found: int = struct.unpack_from("=Q", self.data, address - launcher.ADDRESS)[0]
        return found

    def text(self, address: int) -> bytes:
        return self.data[address - launcher.ADDRESS :].partition(b"\0")[0]

    def texts(self, address: int) -> list[bytes]:
        found = []
        while pointer := self.word(address):
            found.append(self.text(pointer))
            address += 8
        return found

    def failure(self, address: int, number: int) -> tuple[int, bytes]:
        """The exit code and the printed message."""
        while self.word(address) not in (number, 0):
            address += launcher.FAILURE.size
        text = self.word(address + 16) - launcher.ADDRESS
        return self.word(address + 8), self.data[text : text + self.word(address + 24)]


def sent(program: Program) -> Sent:
    mine, theirs = os.pipe()
    Launcher(0, theirs).become(program)
    with open(mine, "rb") as pipe:
        return Sent(pipe.read())


def test_a_plan_to_exec() -> None:
    environment = [b"A=1", b"", b"=x", b"\xff"]
    plan = sent(Program("/bin/{x}", ["a", "", "\udcff"], environment, b"12345678" * 3, frozenset({0, 65})))
    action, stops, mask, size, path, arguments, block, *rest = launcher.EXEC_PLAN.unpack_from(plan.data)
    assert action != 0
    assert plan.word(stops) & 0xFFFF == 3
    assert plan.text(plan.word(stops + 8)).startswith(b"12345678" * 3)
    assert (size, plan.word(mask), plan.word(mask + 8)) == (16, 1, 2)
    assert plan.text(path) == b"/bin/{x}"
    assert plan.texts(arguments) == [b"a", b"", b"\xff"]
    assert plan.texts(block) == environment
    filtering, moving, executing, *supervision = rest
    assert supervision == [0, 0, 0]
    assert plan.failure(filtering, errno.EINVAL)[0] == 125
    assert plan.failure(moving, errno.EINVAL) == (126, b"htrun: cannot run /bin/{x}: Invalid argument\n")
    assert plan.failure(executing, errno.ENOENT) == (127, b"htrun: cannot run /bin/{x}: No such file or directory\n")
    assert plan.failure(executing, 4000) == (126, b"htrun: cannot run /bin/{x}: for an unknown reason\n")


def test_a_supervised_program() -> None:
    mine, theirs = os.pipe()
    supervision = Supervision("--supervise=1,2,", "/proc/1/fd/3", 99)
    Launcher(0, theirs).become(Program("/bin/true", ["true"], [], b"", supervision=supervision))
    # The supervisor reads from the pipe until this process exits.
    os.close(theirs)
    with open(mine, "rb") as pipe:
        plan = Sent(pipe.read())
    option, channel, descriptor = launcher.EXEC_PLAN.unpack_from(plan.data)[-3:]
    assert (plan.text(option), plan.text(channel), descriptor) == (b"--supervise=1,2,", b"/proc/1/fd/3", 99)


def test_no_processors_are_none() -> None:
    plan = sent(Program("/bin/true", ["true"], [], b""))
    assert launcher.EXEC_PLAN.unpack_from(plan.data)[2:4] == (0, 0)


def test_a_plan_to_exit() -> None:
    mine, theirs = os.pipe()
    Launcher(0, theirs).exit(125, "htrun: \udcff\n")
    with open(mine, "rb") as pipe:
        plan = Sent(pipe.read())
    action, code, text, length = launcher.EXIT_PLAN.unpack_from(plan.data)
    assert (action, code) == (0, 125)
    assert plan.data[text - launcher.ADDRESS :][:length] == b"htrun: \xff\n"


def test_a_launcher_that_is_gone_is_told_nothing() -> None:
    mine, theirs = os.pipe()
    os.close(mine)
    Launcher(0, theirs).exit(0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(theirs)


@pytest.mark.parametrize("words", [["htrun"], ["htrun", "true"], []])
def test_who_was_not_launched(words: list[str]) -> None:
    assert Launcher.of(words) is None
