"""The machines on which htrun can run programs, those on which it can trace them, and its message on other machines."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from htrun import hosts
from htrun.hosts import can_trace, is_supported, package
from htrun.hosts.any_host import Machine
from htrun.hosts.untraced import COUNTERS, UntracedMachine
from tests.support.requirements import require_tool

I386, X86_64, AARCH64, RISCV, S390 = 3, 62, 183, 243, 22


def elf(path: Path, machine: int, bits: int = 64, order: str = "<") -> Path:
    """The start of the executable of a program for a machine."""
    start = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    path.write_bytes(start + struct.pack(f"{order}HHI", 2, machine, 1))
    return path


@pytest.mark.parametrize(
    ("machine", "bits", "order", "supported", "traced"),
    [
        (X86_64, 64, "<", True, True),
        (X86_64, 32, "<", False, False),
        (I386, 32, "<", False, False),
        (AARCH64, 64, "<", True, False),
        (RISCV, 64, "<", True, False),
        (258, 64, "<", True, False),
        (S390, 64, ">", False, False),
    ],
)
def test_the_interpreter_says_which_machine_it_is(
    machine: int, bits: int, order: str, supported: bool, traced: bool, tmp_path: Path
) -> None:
    python = str(elf(tmp_path / "python", machine, bits, order))
    assert is_supported(python) is supported
    assert (package(python) is not None) is traced


def test_this_host_is_one() -> None:
    assert is_supported()
    assert can_trace()
    assert hosts.machine() is hosts.current()


def test_no_other_system_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not is_supported()


@pytest.mark.parametrize("words", [["true"], ["--help"], ["--no-such-option"], ["-D"]])
def test_elsewhere_htrun_says_so_in_one_line_before_anything_else(words: list[str], tmp_path: Path) -> None:
    python = elf(tmp_path / "python", I386, 32)
    program = (
        "import sys, htrun.hosts\n"
        f"htrun.hosts.is_supported.__defaults__ = ({str(python)!r},)\n"
        "from htrun.commands.run import main\n"
        "code = main()\n"
        "later = 'htrun.runner', 'htrun.tracee', 'htrun.launch'\n"
        "assert not [name for name in sys.modules if name.startswith(later)]\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("htrun: htrun runs on 64-bit little-endian Linux only; this is Python for ")
    assert done.stderr.count("\n") == 1


def test_without_a_known_counter_the_kernels_clock_counts() -> None:
    machine: Machine = UntracedMachine(258, None)
    source = machine.counter_source()
    assert source.name == machine.counter == machine.best_clock().source.name
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    sample = source.sample(time.CLOCK_MONOTONIC_RAW)
    assert before <= sample.before <= sample.nanoseconds <= sample.after <= source.read()
    assert machine.counter_reading() is None


@pytest.mark.parametrize(
    ("machine", "target", "text"),
    [
        (AARCH64, "aarch64", "isb; mrs x0, cntvct_el0; ret"),
        (RISCV, "riscv64", '.attribute arch, "rv64i"; rdtime a0; ret'),
        (21, "powerpc64le", "mfspr 3, 268; blr"),
    ],
)
def test_the_code_that_reads_a_counter(machine: int, target: str, text: str, tmp_path: Path) -> None:
    source, assembled = tmp_path / "code.s", tmp_path / "code.o"
    source.write_text(f"{text}\n".replace("; ", "\n"))
    clang = require_tool("clang", "clang")
    subprocess.run([clang, f"--target={target}-linux-gnu", "-c", "-o", assembled, source], check=True)
    assert COUNTERS[machine].code in assembled.read_bytes()


def test_an_untraced_run_needs_no_host_that_can_trace() -> None:
    """The modules of an untraced run are imported on machines on which `hosts.current` finds nothing."""
    program = (
        "from htrun import hosts; hosts.package = lambda: None\n"
        "import htrun.launch.portable, htrun.runner.process_one, htrun.runner.supervisor, htrun.commands.hypertrace"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
