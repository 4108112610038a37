"""Where htrun can run programs, and its message elsewhere."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from htrun.hosts import is_supported

X86_64, AARCH64, RISCV = 62, 183, 243


def elf(path: Path, machine: int, bits: int = 64) -> Path:
    """The start of the executable of a program for a machine."""
    path.write_bytes(struct.pack("<4sBBB9xHHI", b"\x7fELF", 2 if bits == 64 else 1, 1, 1, 2, machine, 1))
    return path


@pytest.mark.parametrize(
    ("machine", "bits", "supported"),
    [(X86_64, 64, True), (X86_64, 32, False), (3, 32, False), (AARCH64, 64, False), (RISCV, 64, False)],
)
def test_the_interpreter_says_which_machine_it_is(machine: int, bits: int, supported: bool, tmp_path: Path) -> None:
    assert is_supported(str(elf(tmp_path / "python", machine, bits))) is supported


def test_this_host_is_one() -> None:
    assert is_supported()


def test_no_other_system_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not is_supported()


@pytest.mark.parametrize("words", [["true"], ["--help"], ["--no-such-option"], ["-D"]])
def test_elsewhere_htrun_says_so_in_one_line_before_anything_else(words: list[str], tmp_path: Path) -> None:
    python = elf(tmp_path / "python", AARCH64)
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
    assert done.stderr.startswith("htrun: htrun runs on x86-64 Linux only; this is Python for ")
    assert done.stderr.count("\n") == 1
