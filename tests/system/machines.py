"""Machines to boot under htrun: a stock QEMU, a stock kernel, and a first process that executes the steps of a test."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import machines
from lab.kernels import Kernel
from lab.machines import Board
from tests.support import targets
from tests.support.requirements import require_tool, required
from tests.support.run import Htrun, Result
from tests.support.targets import AARCH64, STATIC, Target
from tests.support.toolchain import ROOT, Toolchain

GUESTS = Path(__file__).parent / "guests"
TIMEOUT = 480
"""Seconds for one machine, from power on to power off."""

_TERMINAL_CONTROL = re.compile(r"\x1b(c|\[[?0-9;]*[A-Za-z])")


@dataclass(frozen=True)
class Architecture:
    """A ``board``. Programs for it are compiled for ``target``, with further ``flags``."""

    board: Board
    target: Target
    flags: tuple[str, ...] = ()

    def kernel(self) -> Kernel:
        """The kernel that it boots."""
        with required():
            return self.board.kernel()


@dataclass(frozen=True)
class OtherMachine:
    """A machine that is not x86-64. ``emulator``: its QEMU's name; ``modules``: the kernel module and its example."""

    architecture: Architecture
    emulator: str
    modules: list[Path]


X86_64 = Architecture(machines.X86_64, STATIC)
I686 = Architecture(machines.I686, targets.I686)
ARM64 = Architecture(machines.ARM64, AARCH64, ("-static",))


def installed_qemu(name: str) -> list[str]:
    """The program ``name`` of the distribution's QEMU."""
    package = "qemu-system-x86" if name in ("qemu-system-x86_64", "qemu-system-i386") else "qemu-system-arm"
    return [str(require_tool(name, package))]


def later_qemu(name: str) -> list[str]:
    """The program ``name`` of QEMU 10, with the options by which it finds its files."""
    with required():
        return machines.later_qemu(name)


@dataclass(frozen=True)
class Machine:
    """A machine that executes ``steps`` (in the language of lab/init.c) and powers off.

    ``programs`` are put into its ``/bin``, ``modules`` into its root directory.
    """

    architecture: Architecture
    toolchain: Toolchain
    directory: Path
    steps: Sequence[str]
    programs: Mapping[str, Path]
    modules: Sequence[Path] = ()

    def arguments(self, *kernel_options: str) -> list[str]:
        """QEMU's arguments for it; more may follow."""
        self.architecture.kernel()
        return self.architecture.board.arguments(self.pack(self.directory / "initrd"), *kernel_options)

    def run(self, htrun: Htrun, qemu: Sequence[str], *arguments: str, options: tuple[str | Path, ...] = ()) -> Result:
        """Run it under ``htrun`` with further ``options`` on ``qemu`` with further ``arguments``, and with the default
        of --via, with which translated code does not use rings."""
        options = ("--via", "auto", *options)
        return htrun.run(*qemu, *self.arguments(), *arguments, options=options, timeout=TIMEOUT)

    def pack(self, target: Path) -> Path:
        """Write the machine's first file system to ``target``."""
        init = self.toolchain.compile(machines.INIT_SOURCE, self.architecture.target, flags=self.architecture.flags)
        target.write_bytes(machines.file_system(init, self.steps, self.programs, self.modules))
        return target


def guest(name: str, architecture: Architecture, toolchain: Toolchain) -> Path:
    """The program guests/NAME.c for the machine."""
    return toolchain.compile(GUESTS / f"{name}.c", architecture.target, flags=architecture.flags)


def readme_program(architecture: Architecture, toolchain: Toolchain) -> Path:
    """The C program that the README shows, for the machine."""
    text = subprocess.run([ROOT / "tools" / "readme-program"], check=True, capture_output=True, text=True).stdout
    return toolchain.compile_text(text, "my-hypertrace", architecture.target, flags=architecture.flags)


def said(result: Result) -> list[str]:
    """The lines that the machine's programs printed, without the firmware's and the kernel's own."""
    text = _TERMINAL_CONTROL.sub("", result.stdout)
    _, firmware, rest = text.rpartition("Booting from ROM")
    lines = [line.strip() for line in (rest.lstrip(".") if firmware else text).split("\n")]
    return [line for line in lines if line and not line.startswith("[")]
