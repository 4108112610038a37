"""The kinds of programs to which guests are compiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """One kind of program.

    ``triplet``: of the cross compiler; empty for the machine's own.
    ``flags``: compiler and linker flags that make the kind.
    ``emulator``: name of the qemu-user program that runs it; empty where the processor does.
    ``packages``: the Debian packages with compiler and C library.
    """

    name: str
    triplet: str
    flags: tuple[str, ...]
    emulator: str
    packages: str

    @property
    def compiler(self) -> str:
        """Name of the C compiler."""
        return f"{self.triplet}-gcc" if self.triplet else "gcc"

    @property
    def sysroot(self) -> Path | None:
        """The directory of the target's dynamic linker and libraries; None for this machine's own."""
        return Path("/usr") / self.triplet if self.triplet else None


def _cross(name: str, triplet: str, debian_name: str, *flags: str, emulator: str = "") -> Target:
    packages = f"gcc-{triplet.replace('_', '-')} libc6-dev-{debian_name}-cross"
    return Target(name, triplet, flags, emulator, packages)


NATIVE = Target("native", "", ("-fPIE", "-pie"), "", "gcc libc6-dev")
NO_PIE = Target("no-pie", "", ("-fno-pie", "-no-pie"), "", "gcc libc6-dev")
STATIC = Target("static", "", ("-static",), "", "gcc libc6-dev")
STATIC_PIE = Target("static-pie", "", ("-fPIE", "-static-pie"), "", "gcc libc6-dev")
I686 = _cross("i686", "i686-linux-gnu", "i386", "-static")
"""Static, since a machine has no 32-bit dynamic linker of its own."""

AARCH64 = _cross("aarch64", "aarch64-linux-gnu", "arm64", emulator="qemu-aarch64")
MIPSEL = _cross("mipsel", "mipsel-linux-gnu", "mipsel", emulator="qemu-mipsel")
MIPS = _cross("mips", "mips-linux-gnu", "mips", emulator="qemu-mips")
RISCV64 = _cross("riscv64", "riscv64-linux-gnu", "riscv64", emulator="qemu-riscv64")
S390X = _cross("s390x", "s390x-linux-gnu", "s390x", emulator="qemu-s390x")

NATIVE_TARGETS = (NATIVE, NO_PIE, STATIC, STATIC_PIE, I686)
FOREIGN_TARGETS = (AARCH64, MIPSEL, MIPS, RISCV64, S390X)
