"""A machine may end in any way: its events are complete, and no file is left."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.run import Htrun, LogEvent
from tests.support.toolchain import Toolchain
from tests.system.machines import TIMEOUT, X86_64, Machine, guest, installed_qemu, readme_program, said

ARGUMENTS = (0xCAFE, 0xBABE, 0xDEAD, 0xBEEF)
STEPS = ("/bin/my-hypertrace", "/bin/emit_many 1000 1")
ENDLESS = "/bin/emit_many 1000000000 1"


def machine(toolchain: Toolchain, directory: Path, *steps: str) -> Machine:
    programs = {name: guest(name, X86_64, toolchain) for name in ("emit_many", "count_boots")}
    programs["my-hypertrace"] = readme_program(X86_64, toolchain)
    return Machine(X86_64, toolchain, directory, steps, programs)


@contextmanager
def emitting(tested: Machine, htrun: Htrun, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``tested`` while it runs, which has done `STEPS` already. The process is QEMU's own."""
    command = [*htrun.command(), *installed_qemu("qemu-system-x86_64"), *tested.arguments(), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as qemu:
        try:
            assert qemu.stdout is not None
            for line in qemu.stdout:
                if "threads emitted" in line:
                    break
            yield qemu
        finally:
            qemu.kill()


def check_complete(htrun: Htrun) -> None:
    """Check that the log holds the events of `STEPS` and of `ENDLESS` up to the last, and that the channel is gone."""
    first, *others = [LogEvent.parse(line) for line in (htrun.directory / "log").read_text().splitlines()]
    assert first.args == ARGUMENTS
    assert [event.args[0] for event in others] == [*range(1000), *range(len(others) - 1000)]
    assert not htrun.channel.is_symlink()


def test_reset(toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """The channel works again after a reset of the machine, and keeps its contents."""
    tested = machine(toolchain, tmp_path, "/bin/emit_many 1000 1", "/bin/count_boots 2")
    result = tested.run(htrun, installed_qemu("qemu-system-x86_64"), "-action", "reboot=reset").check()
    assert said(result)[-1] == "boot 2"
    numbers = [event.args[0] for event in result.events]
    assert numbers == [number for boot in (1, 2) for number in (*range(1000), boot)]


@pytest.mark.heavy("boots a machine; a reset is tried, too")
def test_panic(toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    tested = machine(toolchain, tmp_path, *STEPS, "panic", ENDLESS)
    result = tested.run(htrun, installed_qemu("qemu-system-x86_64")).check()
    assert len(result.events) == 1 + 1000
    check_complete(htrun)


@pytest.mark.heavy("boots a machine; a reset is tried, too")
def test_killed(toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    with emitting(machine(toolchain, tmp_path, *STEPS, ENDLESS), htrun) as qemu:
        qemu.kill()
        qemu.communicate(timeout=TIMEOUT)
    assert qemu.returncode == -signal.SIGKILL
    check_complete(htrun)


@pytest.mark.heavy("boots a machine; a reset is tried, too")
def test_state_that_cannot_be_saved(toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """QEMU reports that a machine that shares its memory cannot be saved or migrated, and the machine continues."""
    monitor = tmp_path / "monitor"
    tested = machine(toolchain, tmp_path, *STEPS, ENDLESS)
    with (
        emitting(tested, htrun, "-monitor", f"unix:{monitor},server=on,wait=off") as qemu,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(str(monitor))
        connection.sendall(b"migrate exec:cat>/dev/null\nsavevm now\nquit\n")
        told = connection.makefile(encoding="utf-8").read()
        qemu.communicate(timeout=TIMEOUT)
    errors = [line for line in told.replace("\r", "").split("\n") if line.startswith("Error")]
    assert len(errors) == 2, told
    assert "'peer mode' in device 'ivshmem'" in errors[0]
    assert qemu.returncode == 0
    check_complete(htrun)
