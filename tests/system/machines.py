"""Machines to boot under htrun: a stock QEMU, a stock kernel, and a first process that does what a test lists."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import Unpacked
from tests.support.requirements import require_tool
from tests.support.run import Htrun, Result
from tests.support.targets import AARCH64, STATIC, Target
from tests.support.toolchain import ROOT, Toolchain
from tests.system import initramfs, kernels
from tests.system.kernels import Kernel

GUESTS = Path(__file__).parent / "guests"
TIMEOUT = 120
"""Seconds for one machine, from power on to power off."""

_TERMINAL_CONTROL = re.compile(r"\x1b(c|\[[?0-9;]*[A-Za-z])")
_NO_MENUS = ("-nodefaults", "-nographic", "-serial", "stdio", "-accel", "tcg", "-no-reboot")


@dataclass(frozen=True)
class Architecture:
    """``machine``: QEMU's options for a machine of the kind; ``console``: the kernel's name of its serial port."""

    target: Target
    machine: tuple[str, ...]
    console: str
    kernel: Callable[[], Kernel]
    flags: tuple[str, ...] = ()


X86_64 = Architecture(STATIC, ("-m", "256"), "ttyS0", kernels.amd64)
ARM64 = Architecture(AARCH64, ("-M", "virt", "-cpu", "cortex-a57", "-m", "512"), "ttyAMA0", kernels.arm64, ("-static",))


def installed_qemu(name: str) -> list[str]:
    """The program ``name`` of the distribution's QEMU."""
    package = "qemu-system-x86" if name == "qemu-system-x86_64" else "qemu-system-arm"
    return [str(require_tool(name, package))]


def later_qemu(name: str) -> list[str]:
    """The program ``name`` of QEMU 10, with the options by which it finds its files."""
    packages = ("qemu-system-x86", "qemu-system-data", "qemu-system-common", "seabios")
    directory = Unpacked("qemu-system-x86-bookworm-backports", "bookworm-backports", packages).directory() / "usr"
    # No network card: its boot program is in a package of its own.
    files = [f"-L{directory}/share/{part}" for part in ("qemu", "seabios")]
    return [str(directory / "bin" / name), "-nic", "none", *(word for file in files for word in (file[:2], file[2:]))]


@dataclass(frozen=True)
class Machine:
    """A machine that does ``steps`` (the language of guests/init.c) and powers off.

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
        options = ["panic=-1", "quiet", f"console={self.architecture.console}", *kernel_options]
        initrd = self.pack(self.directory / "initrd")
        kernel = ["-kernel", str(self.architecture.kernel().image), "-initrd", str(initrd)]
        return [*self.architecture.machine, *_NO_MENUS, *kernel, "-append", " ".join(options)]

    def run(self, htrun: Htrun, qemu: Sequence[str], *arguments: str, options: tuple[str, ...] = ()) -> Result:
        """Run it under ``htrun`` with further ``options`` on ``qemu`` with further ``arguments``."""
        return htrun.run(*qemu, *self.arguments(), *arguments, options=options, timeout=TIMEOUT)

    def pack(self, target: Path) -> Path:
        """Write the machine's first file system to ``target``."""
        init = guest("init", self.architecture, self.toolchain)
        files = {"init": init.read_bytes(), "steps": "".join(f"{step}\n" for step in self.steps).encode()}
        files |= {f"bin/{name}": path.read_bytes() for name, path in self.programs.items()}
        files |= {path.name: path.read_bytes() for path in self.modules}
        target.write_bytes(initramfs.pack(files))
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
