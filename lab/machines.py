"""Whole Linux machines for a stock ``qemu-system-*``. A machine consists of a board, a kernel, and a first process that
executes a list of steps. The program of the first process is ``init.c``, which documents the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import initramfs, kernels
from lab.debian import Unpacked
from lab.kernels import Kernel

INIT_SOURCE = Path(__file__).with_name("init.c")
_PLAIN = ("-nodefaults", "-nographic", "-serial", "stdio", "-accel", "tcg", "-no-reboot")


@dataclass(frozen=True)
class Board:
    """A board.

    ``emulator``: the name of QEMU's program.
    ``options``: the options for a machine with this board.
    ``console``: the kernel's name of the serial port, which is QEMU's standard input and output.
    ``kernel``: a function that returns the kernel, and may download it.
    ``kernel_options``: options that this kernel needs on this board.
    """

    emulator: str
    options: tuple[str, ...]
    console: str
    kernel: Callable[[], Kernel]
    kernel_options: tuple[str, ...] = ()

    def arguments(self, initrd: Path, *kernel_options: str) -> list[str]:
        """The arguments of the emulator for a machine with the first file system ``initrd``. Further arguments may be
        appended."""
        options = ["panic=-1", "quiet", f"console={self.console}", *self.kernel_options, *kernel_options]
        kernel = ["-kernel", str(self.kernel().image), "-initrd", str(initrd)]
        return [*self.options, *_PLAIN, *kernel, "-append", " ".join(options)]


_LATE_TIMER = ("no_timer_check",)
"""At its start, Linux counts the timer interrupts of ten ticks (arch/x86/kernel/apic/io_apic.c, timer_irq_works). If
the host is so busy that too few arrive, Linux panics: "IO-APIC + timer doesn't work". This option disables the
check."""
X86_64 = Board("qemu-system-x86_64", ("-m", "256"), "ttyS0", kernels.amd64, _LATE_TIMER)
I686 = Board("qemu-system-i386", ("-m", "256"), "ttyS0", kernels.i686, _LATE_TIMER)
ARM64 = Board("qemu-system-aarch64", ("-M", "virt", "-cpu", "cortex-a57", "-m", "512"), "ttyAMA0", kernels.arm64)


def file_system(init: Path, steps: Sequence[str], programs: Mapping[str, Path], modules: Sequence[Path] = ()) -> bytes:
    """A first file system. It contains the program ``init``, the ``steps`` that ``init`` executes, ``programs`` in
    ``/bin`` by their names, and ``modules`` in the root directory."""
    files = {"init": init.read_bytes(), "steps": "".join(f"{step}\n" for step in steps).encode()}
    files |= {f"bin/{name}": path.read_bytes() for name, path in programs.items()}
    files |= {path.name: path.read_bytes() for path in modules}
    return initramfs.pack(files)


def later_qemu(name: str) -> list[str]:
    """The program ``name`` of QEMU 10, with the options for the directories of its files. Raises `MissingError`."""
    packages = ("qemu-system-x86", "qemu-system-data", "qemu-system-common", "seabios")
    directory = Unpacked("qemu-system-x86-bookworm-backports", "bookworm-backports", packages).directory() / "usr"
    # No network card, because its boot program is in a separate package.
    files = [f"-L{directory}/share/{part}" for part in ("qemu", "seabios")]
    return [str(directory / "bin" / name), "-nic", "none", *(word for file in files for word in (file[:2], file[2:]))]
