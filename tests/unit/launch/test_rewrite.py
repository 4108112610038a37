"""The replacement for an exec of a traced program, from the point of view of another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from htrun.launch import binfmt_misc
from htrun.launch.binfmt_misc import Handler
from htrun.launch.emulators import Emulators
from htrun.launch.files import FileView
from htrun.launch.guests import guest_of_process
from htrun.launch.rewrite import ExecRewrite, rewrite_exec
from tests.unit.launch.elves import elf, write_program

EMULATORS = Emulators.choose(os.environ, sysroot=None, emulator=None)


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the program ``hello`` of each compiler."""
    directory = tmp_path_factory.mktemp("hello")
    source = directory / "hello.c"
    source.write_text('#include <stdio.h>\nint main(int c, char **v) { printf("%s %d\\n", v[0], c); return 7; }\n')
    for arch in ("mips", "s390x", "x86_64"):
        subprocess.run([f"{arch}-linux-gnu-gcc", source, "-o", directory / f"hello-{arch}"], check=True)
    return directory


@pytest.fixture
def other(hello: Path) -> Iterator[FileView]:
    """The files of a process that sleeps in the directory ``hello`` with ``hello-s390x`` open as descriptor 0."""
    with (hello / "hello-s390x").open("rb") as program:
        script = "import sys; print(flush=True); sys.stdout.close(); import signal; signal.pause()"
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, cwd=hello, stdin=program, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield FileView(process.pid)
            process.kill()


def _run(rewrite: ExecRewrite | None, cwd: Path) -> str:
    assert rewrite is not None
    done = subprocess.run(rewrite.argv, executable=rewrite.executable, cwd=cwd, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 7
    return done.stdout.decode()


def test_a_relative_path_is_looked_up_from_the_other_process(hello: Path, other: FileView) -> None:
    rewrite = rewrite_exec(b"./hello-mips", lambda: [b"name", b"\xff"], EMULATORS, other)
    assert rewrite is not None
    assert rewrite.executable == b"/usr/bin/qemu-mips"
    assert rewrite.argv[1:] == (b"-0", b"name", b"-L", b"/usr/mips-linux-gnu", b"./hello-mips", b"\xff")
    assert rewrite.guest is not None
    assert rewrite.guest.big_endian
    assert _run(rewrite, hello) == "name 2\n"


def test_paths_that_mean_the_process_itself(hello: Path, other: FileView) -> None:
    def rewritten(path: bytes) -> ExecRewrite | None:
        return rewrite_exec(path, lambda: [path], EMULATORS, other)

    for path in (b"/proc/self/fd/0", b"/proc/thread-self/fd/0", b"/dev/fd/0", b"/dev/stdin"):
        rewrite = rewritten(path)
        assert rewrite is not None
        assert rewrite.executable == b"/usr/bin/qemu-s390x"
    assert rewrite_exec(b"/proc/self/exe", lambda: [b"x"], EMULATORS, other) is None
    assert rewrite_exec(b"/dev/stdout", lambda: [b"x"], EMULATORS, other) is None


def test_an_absolute_path_and_one_from_a_directory_of_execveat(hello: Path, other: FileView) -> None:
    absolute = bytes(hello / "hello-mips")
    assert _run(rewrite_exec(absolute, lambda: [absolute], EMULATORS, other), Path("/")) == f"{hello}/hello-mips 1\n"
    view = FileView(other.pid, str(hello.parent))
    assert rewrite_exec(b"hello-mips", lambda: [b"x"], EMULATORS, view) is None
    assert rewrite_exec(f"{hello.name}/hello-mips".encode(), lambda: [b"x"], EMULATORS, view) is not None


def test_a_script_with_a_foreign_interpreter(hello: Path) -> None:
    script = write_program(hello / "script", f"#!{hello}/hello-s390x option\n".encode())
    rewrite = rewrite_exec(bytes(script), lambda: [b"script", b"a"], EMULATORS)
    assert _run(rewrite, hello) == f"{hello}/hello-s390x 4\n"


def test_an_exec_without_arguments(hello: Path) -> None:
    rewrite = rewrite_exec(bytes(hello / "hello-mips"), list, EMULATORS)
    assert rewrite is not None
    assert rewrite.argv[-1] == bytes(hello / "hello-mips")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#!/bin/sh\n",
        b"#!/no/such/interpreter\n",
        b"echo a script without a first line\n",
        elf(62, 64, False),
        elf(62, 64, False, interpreter=b"/lib/ld-none.so"),
        elf(8, 32, True)[:40],
        elf(8, 32, True, loaded=9)[:-1],
        elf(8, 32, True, kind=1),
        elf(0x7777, 32, True),
        b"\x7fELF" + bytes(300),
    ],
)
def test_everything_else_is_left_to_the_kernel(tmp_path: Path, content: bytes) -> None:
    path = bytes(write_program(tmp_path / "file", content))
    assert rewrite_exec(path, lambda: [path], EMULATORS) is None


def test_failures_are_left_to_the_kernel(hello: Path, tmp_path: Path) -> None:
    locked = write_program(tmp_path / "locked", elf(8, 32, True), mode=0o644)
    for path in (bytes(locked), bytes(tmp_path), b"", b"/nowhere", b"a\0b", b"x" * 5000):
        assert rewrite_exec(path, lambda: [b"x"], EMULATORS) is None
    nowhere = Emulators.choose({"PATH": "/nowhere"}, sysroot=None, emulator=None)
    assert rewrite_exec(bytes(hello / "hello-mips"), lambda: [b"x"], nowhere) is None


def test_a_registered_handler_is_left_to_the_kernel(hello: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bytes(hello / "hello-mips")
    handler = Handler("mips", "/usr/bin/handler", magic=(hello / "hello-mips").read_bytes()[:20])
    monkeypatch.setattr(binfmt_misc, "handlers", lambda: (handler,))
    assert rewrite_exec(path, lambda: [b"x"], EMULATORS) is None
    assert rewrite_exec(bytes(hello / "hello-s390x"), lambda: [b"x"], EMULATORS) is not None


def test_the_emulator_given_is_for_its_own_architecture(hello: Path, tmp_path: Path) -> None:
    own = tmp_path / "qemu-mips"
    own.symlink_to("/usr/bin/qemu-mips")
    emulators = Emulators.choose(os.environ, sysroot=None, emulator=str(own))
    used = {}
    for arch in ("mips", "s390x", "x86_64"):
        rewrite = rewrite_exec(bytes(hello / f"hello-{arch}"), lambda: [b"x"], emulators)
        used[arch] = rewrite.executable if rewrite else None
    assert used == {"mips": bytes(own), "s390x": b"/usr/bin/qemu-s390x", "x86_64": None}


def test_whose_code_runs_in_a_process(tmp_path: Path) -> None:
    source = tmp_path / "wait.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts(""); fflush(stdout); getchar(); }\n')
    for arch, command, big_endian in (("mips", ["qemu-mips", "-0", "x"], True), ("x86_64", [], False)):
        subprocess.run([f"{arch}-linux-gnu-gcc", "-static", source, "-o", tmp_path / arch], check=True)
        pipe = subprocess.PIPE
        with subprocess.Popen([*command, f"./{arch}"], cwd=tmp_path, stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            process.stdout.readline()
            guest = guest_of_process(process.pid)
            process.kill()
        assert guest is not None
        assert guest.big_endian == big_endian


@pytest.mark.parametrize("path", [b"/bin/sh", b"/no/such/file"])
def test_the_arguments_of_a_native_program_are_not_looked_at(path: bytes) -> None:
    def argv() -> list[bytes]:
        raise AssertionError

    assert rewrite_exec(path, argv, EMULATORS) is None
