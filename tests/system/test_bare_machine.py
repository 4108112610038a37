"""A machine without an operating system that emits by rings, translated and under KVM."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import IO

import pytest

import htrun as reader
from lab.once import make_once
from tests.support.documents import fenced
from tests.support.requirements import require_kvm, require_tool
from tests.support.run import Htrun, Result, changed_htrun
from tests.support.targets import AARCH64, NATIVE, RISCV64, S390X, Target
from tests.support.toolchain import ROOT, WARNINGS
from tests.system.machines import GUESTS, installed_qemu

FREESTANDING = ROOT / "guest" / "freestanding"
FLAGS = (
    *("-m32", "-march=i686", "-mgeneral-regs-only", "-ffreestanding", "-nostdlib", "-static", "-O2"),
    *("-fno-pic", "-fno-pie", "-no-pie", "-fno-stack-protector", "-fno-asynchronous-unwind-tables"),
    *("-Wl,-Ttext=0x100000", "-Wl,--build-id=none", "-Wl,-z,noseparate-code"),
)
MACHINE = ("-m", "64", "-nodefaults", "-display", "none", "-serial", "stdio")
TCG, KVM = ("-accel", "tcg"), ("-accel", "kvm")
RING_INDEX, ECHO_INDEX = 7, 8
LATE = """
import fcntl, termios, time
from htrun.runner import untraced_run

class Late(untraced_run.UntracedRun):
    def __init__(self, link, *arguments):
        # The supervisor has sent a message when it began, and it sends others when the machine has exited.
        while int.from_bytes(fcntl.ioctl(link.messages, termios.FIONREAD, bytes(4)), "little") < 2:
            time.sleep(0.01)
        super().__init__(link, *arguments)

untraced_run.UntracedRun = Late
"""
PATIENCE = 3600
"""The time limit in seconds. KVM without hardware support executes each instruction in the kernel: an event takes 100
us."""


@pytest.fixture(scope="module")
def bare(session_directory: Path) -> Path:
    """The program of the machine, for QEMU's ``-kernel``."""
    gcc = require_tool("gcc", "gcc")
    sources = [GUESTS / "bare.c", *FREESTANDING.glob("*.c")]

    def build(output: Path) -> None:
        subprocess.run([gcc, *FLAGS, *WARNINGS, f"-I{FREESTANDING}", "-o", output, *sources], check=True)

    return make_once(session_directory / "bare", build)


def boot(htrun: Htrun, bare: Path, *accelerator: str, via: str, count: str, options: tuple[str, ...] = ()) -> Result:
    """Run the machine, which powers off after it has emitted."""
    machine = [*installed_qemu("qemu-system-x86_64"), *accelerator, *MACHINE, "-kernel", str(bare), "-append", count]
    return htrun.run(*machine, options=("--via", via, *options), stdin="q", timeout=PATIENCE)


def check(result: Result, count: int) -> None:
    """Check that all ``count`` events came by rings, in order, from the machine's processor 0."""
    result.check()
    assert result.stdout.splitlines() == [f"emitted {count}"]
    assert result.summary["ring_events"] == count
    assert result.summary["traps"] == 0
    assert result.summary["warnings"] == {}
    events = result.events
    assert [event.args[:2] for event in events] == [(number, ~number & (1 << 64) - 1) for number in range(count)]
    assert {(event.index, event.cpu, event.args[2:]) for event in events} == {(RING_INDEX, 0, (0, 0))}


@pytest.mark.parametrize("target", [NATIVE, AARCH64, RISCV64, S390X], ids=lambda target: target.name)
def test_compiles_without_a_c_library(target: Target, tmp_path: Path) -> None:
    """The library and the example of its page, without a warning, and with no symbol that another library defines."""
    compiler = require_tool(target.compiler, target.packages)
    [example] = fenced("../guest/freestanding/README.md", "c")
    (tmp_path / "example.c").write_text(f"#include <qemu-hypertrace-freestanding.h>\n#include <stddef.h>\n{example}")
    sources = [tmp_path / "example.c", *FREESTANDING.glob("*.c")]
    strict = (*WARNINGS, "-std=c99", "-pedantic", "-Wconversion", "-Wno-missing-prototypes")
    options = ("-ffreestanding", "-nostdlib", "-r", "-O2", "-fno-stack-protector", f"-I{FREESTANDING}")
    program = tmp_path / "example.o"
    own = ("-mno-outline-atomics",) if target is AARCH64 else ()
    subprocess.run([compiler, *strict, *options, *own, "-o", program, *sources], check=True)
    undefined = subprocess.run(["nm", "-u", program], check=True, capture_output=True, text=True).stdout.split()
    assert set(undefined) <= {"U", "_GLOBAL_OFFSET_TABLE_"}


def test_translated(htrun: Htrun, bare: Path) -> None:
    check(boot(htrun, bare, *TCG, via="ring", count="100000"), 100_000)


def test_translated_without_rings(htrun: Htrun, bare: Path) -> None:
    """By default, a translated machine emits by stores, which the library for bare machines does not support."""
    result = boot(htrun, bare, *TCG, via="auto", count="10").check()
    assert result.stdout.splitlines() == ["failed: 2"]
    assert (result.events, result.summary["warnings"]) == ([], {})


def test_kvm(htrun: Htrun, bare: Path) -> None:
    require_kvm()
    check(boot(htrun, bare, *KVM, via="auto", count="20000"), 20_000)


SLACK_NS = 10_000
"""The error of the conversion from htrun's clock to the wall clock, and the error of reading the wall clock."""


@pytest.mark.parametrize("accelerator", [TCG, KVM], ids=["tcg", "kvm"])
def test_times_lie_within_the_told_bounds(
    htrun: Htrun, bare: Path, tmp_path: Path, accelerator: tuple[str, str]
) -> None:
    """By the host's clock, each event was emitted after the host sent a byte and before it received the answer."""
    if accelerator == KVM:
        require_kvm()
    trace = tmp_path / "trace"
    machine = [*installed_qemu("qemu-system-x86_64"), *accelerator, *MACHINE, "-kernel", str(bare), "-append", "2000"]
    command = [*htrun.command("--via", "ring", "-o", trace), *machine]
    bounds = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as qemu:
        assert qemu.stdin is not None
        assert qemu.stdout is not None
        assert read_until(qemu.stdout, b"\n").strip() == b"emitted 2000"
        for _ in range(100):
            before = time.time_ns()
            qemu.stdin.write(b"e")
            read_until(qemu.stdout, b"e")
            bounds.append((before, time.time_ns()))
        qemu.stdin.write(b"q")
        assert qemu.wait(PATIENCE) == 0
    summary = json.loads((htrun.directory / "summary.json").read_text())
    clock = summary["machine_clock"]
    assert clock["jumps"] == 0
    assert clock["answers"] > 0
    assert 0 < clock["last_error_ns"] <= clock["error_ns"]
    error = clock["error_ns"] + SLACK_NS
    events = [event for event in reader.open(trace) if event.index == ECHO_INDEX]
    assert [event.args[0] for event in events] == list(range(len(bounds)))
    for event, (before, after) in zip(events, bounds, strict=True):
        assert before - error <= event.time <= after + error


def read_until(stream: IO[bytes], end: bytes) -> bytes:
    """The bytes up to the first that is ``end``; AssertionError if the stream ends before."""
    read = b""
    while not read.endswith(end):
        byte = stream.read(1)
        assert byte, read
        read += byte
    return read


@pytest.mark.heavy("fewer events are tried, too")
def test_a_million_events_under_kvm(htrun: Htrun, bare: Path) -> None:
    require_kvm()
    check(boot(htrun, bare, *KVM, via="auto", count="1000000"), 1_000_000)


@pytest.mark.parametrize("accelerator", [TCG, KVM], ids=["tcg", "kvm"])
def test_untraced(htrun: Htrun, bare: Path, accelerator: tuple[str, str]) -> None:
    """htrun does not need to trace QEMU if the machine writes to rings."""
    if accelerator == KVM:
        require_kvm()
    result = boot(htrun, bare, *accelerator, via="auto", count="3000", options=("--no-ptrace",))
    check(result, 3000)
    assert result.summary["no_ptrace"] is True
    assert result.summary["machine_clock"]["jumps"] == 0


@pytest.mark.parametrize("overflow", ["drop", "overwrite"])
def test_losses(htrun: Htrun, bare: Path, overflow: str) -> None:
    """Each event is recorded or counted as lost, and those that are recorded are in order."""
    options = ("--overflow", overflow, "--ring-size", "64K")
    result = boot(htrun, bare, *TCG, via="ring", count="200000", options=options)
    assert result.status == 0, result.stderr
    numbers = [event.args[0] for event in result.events]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + result.summary["lost"] == 200_000
    if overflow == "overwrite":
        assert numbers[-1] == 199_999


def test_stores_under_kvm_are_reported(htrun: Htrun, bare: Path) -> None:
    require_kvm()
    result = boot(htrun, bare, *KVM, via="auto", count="10s").check()
    assert result.stdout.splitlines() == ["stored"]
    assert result.events == []
    [line] = [line for line in result.stderr.splitlines() if line.startswith("htrun:")]
    assert "has emitted events by stores, which were not seen" in line
    assert result.summary["warnings"] == {"unseen": 1}


def test_a_machine_without_events_under_kvm_is_reported(htrun: Htrun, bare: Path) -> None:
    require_kvm()
    result = boot(htrun, bare, *KVM, via="auto", count="0s").check()
    [line] = [line for line in result.stderr.splitlines() if line.startswith("htrun:")]
    assert "no event came from the machine" in line
    assert result.summary["warnings"] == {"unseen": 1}


def test_a_translated_machine_may_store_to_a_device_with_rings(htrun: Htrun, bare: Path) -> None:
    result = boot(htrun, bare, *TCG, via="ring", count="10s").check()
    assert [event.args[0] for event in result.events] == list(range(10))
    assert result.summary["ring_events"] == 0


def test_times_of_a_machine_that_exits_before_the_recorder_is_ready(bare: Path, tmp_path: Path) -> None:
    htrun = Htrun(tmp_path, changed_htrun(tmp_path, LATE))
    result = boot(htrun, bare, *TCG, via="auto", count="3000", options=("--no-ptrace",))
    check(result, 3000)
    assert result.summary["machine_clock"]["answers"] > 0
    times = [event.time for event in result.events]
    assert times == sorted(times)
    assert times[0] < times[-1]
