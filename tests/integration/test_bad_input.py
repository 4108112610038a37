"""Bad input gives one line that says what is wrong, the right exit code and no traceback, and leaves no files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import leftovers
from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.sandbox import sandbox_without
from tests.support.targets import AARCH64
from tests.support.toolchain import Toolchain

Prepare = Callable[[Path], list[str | Path]]


def _htrun(directory: Path, *words: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {leftovers.VARIABLE: str(directory)}
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [HTRUN, *words],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )


def _check(done: subprocess.CompletedProcess[str], code: int, words: str, directory: Path, before: list[str]) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("htrun: ")
    assert words in lines[0]
    assert sorted(os.listdir(directory)) == before
    assert leftovers.remaining(str(directory)) == []


def _file(path: Path, content: bytes, mode: int = 0o755) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def _directory(path: Path) -> Path:
    path.mkdir()
    return path


def _link(path: Path) -> Path:
    path.symlink_to("/etc/hostname")
    return path


def _elf(machine: int, size: int = 64, kind: int = 2) -> bytes:
    header = bytearray(64)
    header[:7] = b"\x7fELF\x02\x01\x01"
    header[16:18] = kind.to_bytes(2, "little")
    header[18:20] = machine.to_bytes(2, "little")
    header[20] = 1
    return bytes(header[:size])


CASES: dict[str, tuple[int, str, Prepare]] = {
    "no program": (125, "no program", lambda _: []),
    "unknown option": (125, "--wrong", lambda _: ["--wrong", "true"]),
    "option without value": (125, "--hypertrace", lambda _: ["--hypertrace"]),
    "no arguments each": (125, "args", lambda d: ["--hypertrace", f"{d}/ht,args=0", "true"]),
    "too many arguments each": (125, "args", lambda d: ["--hypertrace", f"{d}/ht,args=65", "true"]),
    "arguments no number": (125, "args", lambda d: ["--hypertrace", f"{d}/ht,args=four", "true"]),
    "no clients": (125, "max-clients", lambda d: ["--hypertrace", f"{d}/ht,max-clients=0", "true"]),
    "absurd clients": (125, "max-clients", lambda d: ["--hypertrace", f"{d}/ht,max-clients={10**30}", "true"]),
    "negative clients": (125, "max-clients", lambda d: ["--hypertrace", f"{d}/ht,max-clients=-1", "true"]),
    "unknown setting": (125, "colour", lambda d: ["--hypertrace", f"{d}/ht,colour=red", "true"]),
    "channel is a file": (125, "ht", lambda d: ["--hypertrace", _file(d / "ht", b"precious"), "true"]),
    "channel is a directory": (125, "ht", lambda d: ["--hypertrace", _directory(d / "ht"), "true"]),
    "channel is a link elsewhere": (125, "ht", lambda d: ["--hypertrace", _link(d / "ht"), "true"]),
    "channel in no directory": (125, "none/ht", lambda d: ["--hypertrace", d / "none" / "ht", "true"]),
    "log in no directory": (125, "none/log", lambda d: ["-D", d / "none" / "log", "true"]),
    "log is a directory": (125, "cannot write", lambda d: ["-D", d, "true"]),
    "summary in no directory": (125, "none/s", lambda d: ["--summary", d / "none" / "s", "true"]),
    "no such program": (127, "none", lambda d: [d / "none"]),
    "no such program in PATH": (127, "no-such-program", lambda _: ["no-such-program"]),
    "not executable": (126, "data", lambda d: [_file(d / "data", b"#!/bin/sh\n", 0o644)]),
    "a directory": (126, "", lambda d: [d]),
    "no program at all": (126, "junk", lambda d: [_file(d / "junk", b"\x00\x01\x02\x03" * 40)]),
    "truncated ELF": (126, "short", lambda d: [_file(d / "short", _elf(62, 30))]),
    "ELF without program headers": (126, "hollow", lambda d: [_file(d / "hollow", _elf(62))]),
    "unknown machine": (126, "odd", lambda d: [_file(d / "odd", _elf(0xBEEF))]),
    "interpreter missing": (127, "script", lambda d: [_file(d / "script", b"#!/no/such/interpreter\n")]),
    "emulator missing": (127, "no-qemu", lambda _: ["--emulator", "no-qemu", "true"]),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name: str, tmp_path: Path) -> None:
    code, words, prepare = CASES[name]
    command = prepare(tmp_path)
    before = sorted(os.listdir(tmp_path))
    _check(_htrun(tmp_path, *command), code, words, tmp_path, before)


def test_existing_file_is_not_touched(tmp_path: Path) -> None:
    precious = _file(tmp_path / "ht", b"precious", 0o600)
    _htrun(tmp_path, "--hypertrace", precious, "true")
    assert precious.read_bytes() == b"precious"


def test_emulator_not_installed(toolchain: Toolchain, tmp_path: Path) -> None:
    program = toolchain.compile_text("int main(void) { return 0; }", "foreign", AARCH64)
    done = _htrun(tmp_path, program, path=str(tmp_path))
    _check(done, 126, "qemu-aarch64", tmp_path, [])
    assert "qemu-user" in done.stderr


def test_live_channel_of_another_run(tmp_path: Path) -> None:
    channel = tmp_path / "ht"
    command = [str(HTRUN), "--hypertrace", str(channel), "sh", "-c", "echo up; cat"]
    environment = os.environ | {leftovers.VARIABLE: f"{tmp_path}/first"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as first:
        assert first.stdin
        assert first.stdout
        assert first.stdout.readline() == b"up\n"
        _check(_htrun(tmp_path, "--hypertrace", channel, "true"), 125, "another path", tmp_path, ["ht"])
        first.stdin.close()
        assert first.wait(timeout=240) == 0
    assert not os.path.lexists(channel)


def test_no_permission_for_the_channel(tmp_path: Path) -> None:
    # A directory in which even root cannot create a link.
    done = _htrun(tmp_path, "--hypertrace", "/sys/hypertrace-channel", "true")
    _check(done, 125, "/sys/hypertrace-channel", tmp_path, [])
    assert "permi" in done.stderr.lower()


def test_under_another_tracer(tmp_path: Path) -> None:
    strace = require_tool("strace", "strace")
    done = subprocess.run(
        [strace, "-f", "-o", "/dev/null", HTRUN, "--via", "store", "true"],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {leftovers.VARIABLE: str(tmp_path)},
    )
    _check(done, 125, "trac", tmp_path, [])


@pytest.mark.parametrize(
    ("call", "words"),
    [("SYS_ptrace", "does a sandbox or kernel.yama.ptrace_scope forbid ptrace?"), ("SYS_memfd_create", "memory")],
)
def test_in_a_sandbox(call: str, words: str, toolchain: Toolchain, tmp_path: Path) -> None:
    sandbox = sandbox_without(call, toolchain)
    done = subprocess.run(
        [sandbox, HTRUN, "--via", "store", "true"],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {leftovers.VARIABLE: str(tmp_path)},
    )
    _check(done, 125, words, tmp_path, [])
