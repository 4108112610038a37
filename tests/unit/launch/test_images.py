"""How the kernel executes a file, compared with the kernel itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from htrun.launch.binfmt_misc import Handler, parse_handler, read_handlers
from htrun.launch.files import HERE
from htrun.launch.images import Handled, Program, Script, Unknown, follow, inspect, parse_script
from tests.unit.launch.elves import elf, write_program

SHOW = b"#include <stdio.h>\nint main(int c, char **v) { for (int i = 0; i < c; i++) puts(v[i]); }\n"


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program that prints its arguments, one a line. Its path is short: it must fit into 255 bytes with others."""
    directory = tmp_path_factory.mktemp("show")
    (directory / "show.c").write_bytes(SHOW)
    subprocess.run(["gcc", "-o", directory / "show", directory / "show.c"], check=True)
    return str(directory / "show")


def _kernel(path: str, *argv: str) -> list[str] | int:
    """The arguments with which the kernel starts the program, or the error number."""
    try:
        done = subprocess.run([path, *argv], executable=path, capture_output=True, check=True)
    except OSError as error:
        return error.errno or 0
    return os.fsdecode(done.stdout).split("\n")[:-1]


def _ours(path: str, *argv: str) -> list[str] | int:
    try:
        last = follow(path, [path, *argv], HERE, ())
    except OSError as error:
        return error.errno or 0
    if isinstance(last.image, Unknown):
        return 8
    return list(last.argv)


BLANKS = st.text(" \t", max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    before=BLANKS, middle=BLANKS, word=st.text("ab- \t\0#\r", max_size=6), after=BLANKS, end=st.sampled_from(["\n", ""])
)
@example(before="", middle=" ", word="", after="", end="")
@example(before="", middle=" ", word="a" * 300, after="", end="\n")
@example(before=" " * 230, middle="", word="", after="", end="\n")
@example(before=" " * 300, middle="", word="", after="", end="\n")
def test_the_first_line_is_read_as_the_kernel_reads_it(
    show: str, tmp_path_factory: pytest.TempPathFactory, before: str, middle: str, word: str, after: str, end: str
) -> None:
    path = str(tmp_path_factory.getbasetemp() / "script")
    write_program(Path(path), f"#!{before}{show}{middle}{word}{after}{end}".encode())
    assert _ours(path, "x", "") == _kernel(path, "x", "")


@pytest.mark.parametrize("length", range(248, 260))
@pytest.mark.parametrize("rest", ["", "\n", " -a\n"])
def test_a_line_about_as_long_as_the_kernel_reads(show: str, tmp_path: Path, length: int, rest: str) -> None:
    line = "#!" + show.replace("/", "/" * (length - 2 - len(show) + 1), 1)
    assert len(line) == length
    path = str(write_program(tmp_path / "script", (line + rest).encode()))
    assert _ours(path) == _kernel(path)


@pytest.mark.parametrize("first", ["#!", "#! ", "#!\n", "#! \n", "#!/nowhere/at/all\n", "#!/tmp\n", "#!\0/bin/sh\n"])
def test_first_lines_without_an_interpreter(tmp_path: Path, first: str) -> None:
    path = str(write_program(tmp_path / "script", first.encode()))
    assert _ours(path) == _kernel(path)
    assert isinstance(_ours(path), int)


@pytest.mark.parametrize("depth", range(1, 8))
def test_scripts_as_the_interpreters_of_scripts(show: str, tmp_path: Path, depth: int) -> None:
    """The kernel gives up at the sixth, with ELOOP."""
    path = show
    for level in range(depth):
        path = str(write_program(tmp_path / f"script{level}", f"#!{path} {level}\n".encode()))
    assert _ours(path, "last") == _kernel(path, "last")
    assert isinstance(_ours(path, "last"), int) == (depth > 5)


def test_a_script_without_any_argument(show: str, tmp_path: Path) -> None:
    path = str(write_program(tmp_path / "script", f"#!{show}\n".encode()))
    assert follow(path, [], HERE, ()).argv == (show, path)


def test_what_a_file_is() -> None:
    assert isinstance(inspect("a", elf(183, 64, False), ()), Program)
    assert inspect("a", b"#!/bin/sh -e\n", ()) == Script("/bin/sh", "-e")
    assert inspect("a", b"echo hello\n\0", ()) == Unknown(text=True)
    assert inspect("a", b"PK\3\4\0\n", ()) == Unknown(text=False)
    assert parse_script(b"#!") == Script("", None)


AARCH64_MAGIC = bytes.fromhex("7f454c460201010000000000000000000200b700")
AARCH64_MASK = bytes.fromhex("ffffffffffffff00fffffffffffffffffeffffff")


def test_a_registered_handler_comes_first() -> None:
    handler = Handler("qemu-aarch64", "/usr/bin/qemu-aarch64", magic=AARCH64_MAGIC, mask=AARCH64_MASK)
    assert isinstance(inspect("a", elf(183, 64, False, kind=2), [handler]), Handled)
    assert isinstance(inspect("a", elf(183, 64, False, kind=3), [handler]), Handled)
    assert isinstance(inspect("a", elf(183, 64, True), [handler]), Program)
    assert isinstance(inspect("a", elf(243, 64, False), [handler]), Program)


def test_handlers_by_extension_and_by_magic_further_on() -> None:
    jar = Handler("jar", "/usr/bin/java", extension="jar")
    assert jar.takes("/x/a.b.jar", b"")
    assert not jar.takes("/x/ajar", b"")
    assert not jar.takes("/x.jar/a", b"")
    behind = Handler("behind", "/bin/x", offset=3, magic=b"ab\0")
    assert behind.takes("x", b"...ab")
    assert not behind.takes("x", b"ab")


def test_handlers_as_the_kernel_shows_them(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "register").write_text("")
    (tmp_path / "arm64").write_text(
        f"enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: POCF\noffset 0\nmagic {AARCH64_MAGIC.hex()}\n"
        f"mask {AARCH64_MASK.hex()}\n"
    )
    (tmp_path / "jar").write_text("enabled\ninterpreter /usr/bin/java x\nflags: \nextension .jar\n")
    (tmp_path / "off").write_text("disabled\ninterpreter /usr/bin/x\nflags: \nextension .off\n")
    assert read_handlers(str(tmp_path)) == (
        Handler("arm64", "/usr/bin/qemu-aarch64", None, 0, AARCH64_MAGIC, AARCH64_MASK),
        Handler("jar", "/usr/bin/java x", "jar"),
    )
    (tmp_path / "status").write_text("disabled\n")
    assert read_handlers(str(tmp_path)) == ()
    assert read_handlers(str(tmp_path / "not-mounted")) == ()
    assert parse_handler("gone", "") is None


def test_an_executable_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o777)
    assert not HERE.is_executable(str(tmp_path / "fifo"))
    assert _ours(str(tmp_path / "fifo")) == _kernel(str(tmp_path / "fifo"))
    assert _ours(str(tmp_path)) == _kernel(str(tmp_path))
