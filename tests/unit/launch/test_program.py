"""The program that is started for a command line, compared with ``execvp``."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from htrun.errors import HtrunError
from htrun.launch import binfmt_misc
from htrun.launch.binfmt_misc import Handler
from htrun.launch.environment import guest_environment
from htrun.launch.program import Launch, ProgramKind, resolve
from tests.unit.launch.elves import elf, write_program

HELLO = '#include <stdio.h>\nint main(int c, char **v) { printf("%s %d\\n", v[0], c); return 7; }\n'
FOREIGN = ["aarch64", "mips", "mipsel", "riscv64", "s390x"]


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``hello-ARCH`` and ``hello-ARCH-static`` for each compiler."""
    directory = tmp_path_factory.mktemp("hello")
    (directory / "hello.c").write_text(HELLO)
    for arch in [*FOREIGN, "i686", "x86_64"]:
        compiler = f"{arch}-linux-gnu-gcc"
        subprocess.run([compiler, "hello.c", "-o", f"hello-{arch}"], cwd=directory, check=True)
        subprocess.run([compiler, "hello.c", "-static", "-o", f"hello-{arch}-static"], cwd=directory, check=True)
    return directory


def _run(launch: Launch) -> subprocess.CompletedProcess[str]:
    executable = Path.cwd() / launch.executable  # Without a slash, subprocess would look for it in PATH.
    return subprocess.run(launch.argv, executable=executable, capture_output=True, text=True, check=False)


def _failure(argv: list[str], environment: Mapping[str, str] = os.environ, **options: str) -> HtrunError:
    with pytest.raises(HtrunError) as raised:
        resolve(argv, environment, **options)
    assert "\n" not in str(raised.value)
    return raised.value


def test_a_native_program(hello: Path) -> None:
    path = str(hello / "hello-x86_64")
    launch = resolve([path, "a"], os.environ)
    assert (launch.kind, launch.executable, launch.argv, launch.emulator) == (
        ProgramKind.NATIVE,
        path,
        (path, "a"),
        None,
    )
    assert launch.guest is not None
    assert launch.guest.machine == 62


@pytest.mark.parametrize("variant", ["", "-static"])
@pytest.mark.parametrize("arch", FOREIGN)
def test_a_foreign_program_runs_under_its_emulator(hello: Path, arch: str, variant: str) -> None:
    path = str(hello / f"hello-{arch}{variant}")
    launch = resolve([path, "a"], os.environ)
    assert launch.kind is ProgramKind.FOREIGN
    assert launch.emulator == launch.executable == f"/usr/bin/qemu-{arch}"
    assert launch.sysroot == (None if variant else f"/usr/{arch}-linux-gnu")
    assert launch.guest is not None
    assert launch.guest.big_endian == (arch in ("mips", "s390x"))
    done = _run(launch)
    assert (done.stdout, done.returncode) == (f"{path} 2\n", 7)


def test_a_32_bit_x86_program_is_native_where_its_libraries_are(hello: Path) -> None:
    static = resolve([str(hello / "hello-i686-static")], os.environ)
    assert static.kind is ProgramKind.NATIVE
    assert _run(static).returncode == 7
    dynamic = resolve([str(hello / "hello-i686")], os.environ)
    assert dynamic.kind is (ProgramKind.NATIVE if Path("/lib/ld-linux.so.2").exists() else ProgramKind.FOREIGN)
    assert _run(dynamic).returncode == 7


def test_the_name_found_in_path_stays_the_guests_name(hello: Path) -> None:
    launch = resolve(["hello-riscv64"], {"PATH": f"/nowhere:{hello}:{os.environ['PATH']}"})
    assert launch.program == str(hello / "hello-riscv64")
    assert _run(launch).stdout == "hello-riscv64 1\n"


def test_a_program_named_like_an_option(hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "-strace").symlink_to(hello / "hello-mips")
    monkeypatch.chdir(tmp_path)
    launch = resolve(["-strace"], {"PATH": f":{os.environ['PATH']}"})
    assert _run(launch).stdout == "-strace 1\n"


def test_the_sysroot_given_or_in_the_environment(hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(hello / "hello-mips")
    monkeypatch.chdir(tmp_path)
    assert "-L" not in resolve([path], {**os.environ, "QEMU_LD_PREFIX": "/usr/mips-linux-gnu"}).argv
    (tmp_path / "libraries").mkdir()
    launch = resolve([path], os.environ, sysroot="libraries")
    assert launch.argv[1:3] == ("-L", str(tmp_path / "libraries"))
    assert str(_failure([path], sysroot="/nowhere")) == "-L /nowhere: not a directory"


def test_a_program_whose_libraries_are_nowhere(tmp_path: Path) -> None:
    path = write_program(tmp_path / "app", elf(4, 32, True, interpreter=b"/lib/ld.so.1"))
    launch = resolve([str(path)], os.environ)
    assert launch.sysroot is None
    assert launch.warning is not None
    assert "/lib/ld.so.1" in launch.warning
    assert "-L" in launch.warning


def test_the_emulator_given(hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = str(hello / "hello-x86_64")
    forced = resolve([native, "a"], os.environ, emulator="qemu-x86_64")
    assert (forced.kind, forced.emulator) == (ProgramKind.FOREIGN, "/usr/bin/qemu-x86_64")
    assert _run(forced).stdout == f"{native} 2\n"
    own = tmp_path / "qemu-mips"
    own.symlink_to("/usr/bin/qemu-mips")
    monkeypatch.chdir(tmp_path)
    assert resolve([str(hello / "hello-mips")], os.environ, emulator="./qemu-mips").emulator == str(
        tmp_path / "qemu-mips"
    )
    missing = _failure([native], emulator="qemu-nothing")
    assert (missing.exit_code, "--emulator qemu-nothing" in str(missing)) == (127, True)


def test_an_emulator_of_another_kind_gets_no_options_of_qemu(hello: Path, tmp_path: Path) -> None:
    emulator = write_program(tmp_path / "emulate", b'#!/bin/sh\necho "$@"\n')
    path = str(hello / "hello-mips")
    launch = resolve([path, "a"], os.environ, emulator=str(emulator))
    assert _run(launch).stdout == f"{path} a\n"


def test_the_emulator_named_as_the_program(hello: Path) -> None:
    argv = ["qemu-s390x", "-L", "/usr/s390x-linux-gnu", str(hello / "hello-s390x"), "a"]
    launch = resolve(argv, os.environ)
    assert (launch.kind, launch.argv, launch.emulator) == (ProgramKind.EMULATED, tuple(argv), "/usr/bin/qemu-s390x")
    assert launch.guest is not None
    assert launch.guest.big_endian
    assert resolve(["qemu-s390x", "-version"], os.environ).guest is None


def test_scripts_are_the_kernels(tmp_path: Path) -> None:
    script = str(write_program(tmp_path / "script", b"#!/bin/sh -e\necho $0 $1\nexit 3\n"))
    launch = resolve([script, "a"], os.environ)
    assert (launch.kind, launch.executable, launch.argv) == (ProgramKind.SCRIPT, script, (script, "a"))
    assert _run(launch).stdout == f"{script} a\n"
    assert resolve([script], os.environ, emulator="qemu-mips").kind is ProgramKind.SCRIPT
    assert resolve([script], os.environ, emulator="qemu-x86_64").kind is ProgramKind.FOREIGN


def test_a_script_with_a_foreign_interpreter(hello: Path, tmp_path: Path) -> None:
    script = str(write_program(tmp_path / "script", f"#!{hello}/hello-aarch64 x y\n".encode()))
    launch = resolve([script, "a"], os.environ)
    assert (launch.kind, launch.program) == (ProgramKind.FOREIGN, script)
    assert launch.argv[-3:] == ("x y", script, "a")
    assert _run(launch).stdout == f"{hello}/hello-aarch64 4\n"


def test_a_registered_handler_unless_the_user_chose(hello: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Handler("mips", "/usr/bin/handler", magic=(hello / "hello-mips").read_bytes()[:20])
    monkeypatch.setattr(binfmt_misc, "handlers", lambda: (handler,))
    path = str(hello / "hello-mips")
    launch = resolve([path, "a"], os.environ)
    assert (launch.kind, launch.executable, launch.argv) == (ProgramKind.HANDLED, path, (path, "a"))
    assert launch.emulator == "/usr/bin/handler"
    assert launch.guest is not None
    assert launch.guest.big_endian
    assert resolve([path], os.environ, emulator="qemu-mips").kind is ProgramKind.FOREIGN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (elf(183, 64, False)[:30], "truncated ELF file"),
        (elf(62, 64, False, loaded=100)[:-1], "truncated ELF file"),
        (b"\x7fELF\x05" + bytes(100), "malformed ELF file"),
        (b"PK\3\4\0\0\0\0", "neither an ELF program nor a script"),
        (elf(0x7777, 64, False), "ELF machine 30583"),
        (elf(62, 64, False, kind=1), "an object file"),
        (elf(183, 64, False, kind=4), "a core dump"),
    ],
)
def test_files_that_can_not_be_run(tmp_path: Path, content: bytes, message: str) -> None:
    path = str(write_program(tmp_path / "file", content))
    failure = _failure([path])
    assert failure.exit_code == 126
    assert str(failure).startswith(f"{path}: ")
    assert message in str(failure)


def test_a_missing_emulator_names_the_package(hello: Path, tmp_path: Path) -> None:
    failure = _failure([str(hello / "hello-mips")], {"PATH": str(tmp_path)})
    assert failure.exit_code == 126
    assert "qemu-mips" in str(failure)
    assert "package qemu-user" in str(failure)


def test_a_missing_dynamic_linker_is_named(tmp_path: Path) -> None:
    path = write_program(tmp_path / "app", elf(62, 64, False, interpreter=b"/lib/ld-none.so"))
    failure = _failure([str(path)])
    assert failure.exit_code == 127
    assert "/lib/ld-none.so" in str(failure)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    script = write_program(tmp_path / "a-script", b"#!/bin/sh\r\necho\n")
    failure = _failure(["a-script"], {"PATH": f"{tmp_path}:/bin"})
    assert failure.exit_code == 127
    assert str(failure) == f"{script}: its first line asks for the interpreter '/bin/sh\\r', which does not exist"
    assert str(_failure(["no-such"])) == "no-such: no such program in PATH"
    assert str(_failure(["./no-such"])) == "./no-such: no such file"
    assert str(_failure([str(tmp_path)])) == f"{tmp_path}: a directory, not a program"
    locked = write_program(tmp_path / "locked", b"", mode=0o644)
    assert str(_failure([str(locked)])).startswith(f"{locked}: not executable: permission denied")


def test_a_program_that_may_be_executed_but_not_read(hello: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = write_program(Path(directory) / "hello", (hello / "hello-x86_64").read_bytes(), mode=0o111)
        child = os.fork()
        if child == 0:
            if os.geteuid() == 0:
                os.setuid(65534)
            launch = resolve([str(path)], os.environ)
            os._exit(0 if (launch.kind, launch.guest) == (ProgramKind.NATIVE, None) else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_broken_name() -> None:
    assert _failure(["a\0b"]).exit_code == 127
    assert _failure([]).exit_code == 125


FILES: dict[str, tuple[bytes, int]] = {
    "bin/good": (b"#!/bin/sh\nexit 5\n", 0o755),
    "bin/plain": (b"exit $#\n", 0o755),
    "bin/empty": (b"", 0o755),
    "bin/shadowed": (b"#!/bin/sh\nexit 6\n", 0o755),
    "first/shadowed": (b"#!/bin/sh\nexit 9\n", 0o644),
    "first/locked": (b"#!/bin/sh\n", 0o644),
    "bin/lost": (b"#!/no/such/interpreter\n", 0o755),
    "bin/loop": (b"#!LOOP\n", 0o755),
    "here": (b"#!/bin/sh\nexit 4\n", 0o755),
    "bin/directory/x": (b"", 0o644),
    "first/elsewhere/x": (b"", 0o644),
    "bin/elsewhere": (b"#!/bin/sh\nexit 8\n", 0o755),
}
NAMES = [
    *["good", "plain", "empty", "shadowed", "locked", "lost", "loop", "here", "directory", "elsewhere", "missing", ""],
    *["./here", "bin/good", "bin/plain", "first/locked", "bin", "bin/good/x", "./missing", "x" * 300, "./" + "x" * 300],
]


@pytest.mark.parametrize("search", ["first:bin", "first::bin", "first:missing:bin:", ":", "", "/bin", None])
@pytest.mark.parametrize("name", NAMES)
def test_the_search_is_that_of_execvp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, search: str | None
) -> None:
    for file, (content, mode) in FILES.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        write_program(tmp_path / file, content.replace(b"LOOP", bytes(tmp_path / file)), mode)
    monkeypatch.chdir(tmp_path)
    environment = {} if search is None else {"PATH": search}
    assert _our_status([name, "a", "b"], environment) == _status_of_execvp([name, "a", "b"], environment)


def _our_status(argv: list[str], environment: Mapping[str, str]) -> int:
    try:
        launch = resolve(argv, environment)
    except HtrunError as error:
        return error.exit_code
    return _run(launch).returncode


def _status_of_execvp(argv: list[str], environment: Mapping[str, str]) -> int:
    """The result of a child that calls the C library's execvp, and exits with 127 or 126, like env, if that fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = (ctypes.c_char_p * (len(argv) + 1))(*[os.fsencode(word) for word in argv], None)
    child = os.fork()
    if child == 0:
        libc.clearenv()
        for key, value in environment.items():
            libc.setenv(key.encode(), value.encode(), 1)
        libc.execvp(words[0], words)
        os._exit(127 if ctypes.get_errno() == 2 else 126)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_guests_environment() -> None:
    assert guest_environment([b"A=1", b"HYPERTRACE=old", b"B"], b"/tmp/ht") == [b"A=1", b"HYPERTRACE=/tmp/ht", b"B"]
    assert guest_environment([b"=x", b"A=1", b"A=2", b""], b"/ht") == [b"=x", b"A=1", b"A=2", b"", b"HYPERTRACE=/ht"]
    assert guest_environment([b"HYPERTRACE=1", b"HYPERTRACES=", b"HYPERTRACE=2"], b"/ht") == [
        b"HYPERTRACE=/ht",
        b"HYPERTRACES=",
    ]
