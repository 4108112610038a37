"""The whole machines in which benches run. Builds the parts of a machine, and the command line that boots it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.outcome import FailedError, UnavailableError
from bench.workshop import SOURCE, TOP, Workshop
from lab import machines
from lab.debian import MissingError
from lab.machines import ARM64, X86_64, Board

_MODULE = TOP / "guest" / "linux-module"
_PACKAGES = "qemu-system-x86 qemu-system-arm"


@dataclass(frozen=True)
class Kind:
    """A kind of machine. ``architecture``: its name in the names of benches. ``compiler``: the compiler for its
    programs."""

    architecture: str
    board: Board
    compiler: str

    @property
    def title(self) -> str:
        """The title of the machine in tables."""
        return self.board.emulator


KINDS = (Kind("x86_64", X86_64, "gcc"), Kind("aarch64", ARM64, "aarch64-linux-gnu-gcc"))


@dataclass(frozen=True)
class Parts:
    """The parts of machines of one kind. ``qemu``: the path of QEMU; ``programs``: the programs by their names in the
    machine."""

    board: Board
    qemu: Path
    init: Path
    programs: Mapping[str, Path]
    modules: tuple[Path, ...]

    def command(self, directory: Path, steps: Sequence[str]) -> list[str]:
        """The command line of a machine that executes ``steps`` and powers off. ``directory``: receives the machine's
        file system."""
        initrd = directory / "initrd"
        initrd.write_bytes(machines.file_system(self.init, steps, self.programs, self.modules))
        return [str(self.qemu), *self.board.arguments(initrd)]


def bare(shop: Workshop, kind: Kind) -> Parts:
    """The parts of a machine that can only boot. Raises `UnavailableError` if a package is not available."""
    program = shutil.which(kind.board.emulator)
    if program is None:
        raise UnavailableError(f"no {kind.board.emulator}: apt-get install {_PACKAGES}")
    try:
        kind.board.kernel()
    except MissingError as error:
        raise UnavailableError(f"missing: {error}") from error
    init = shop.build(str(machines.INIT_SOURCE), "-static", compiler=kind.compiler)
    return Parts(kind.board, Path(program), init, {}, ())


def equipped(shop: Workshop, kind: Kind) -> Parts:
    """The parts of a machine with the program and the kernel modules that measure events. Raises `UnavailableError`."""
    parts = bare(shop, kind)
    program = shop.build_guest("guests/machine_emit.c", compiler=kind.compiler)
    return Parts(parts.board, parts.qemu, parts.init, {"emit": program}, _modules(shop, kind.board))


def _modules(shop: Workshop, board: Board) -> tuple[Path, ...]:
    kernel, workshop = board.kernel(), shop.directory()
    ours, measuring = workshop / "module", workshop / "bench"
    try:
        kernel.build_modules(_MODULE, ours)
        places = (f"MODULE={ours}", f"BENCH={SOURCE}")
        kernel.build_modules(SOURCE / "guests" / "linux-module", measuring, *places)
    except subprocess.CalledProcessError as error:
        raise FailedError(f"kernel modules for {board.emulator}: {error.output[-2000:]}") from error
    return ours / "qemu-hypertrace.ko", measuring / "qemu-hypertrace-bench.ko"
