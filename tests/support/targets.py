"""The targets for which guests are compiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """One target of the compiler.

    ``triplet``: the GNU name of the cross compiler; empty for the native compiler. ``flags``: the flags of compiler and
    linker. ``emulator``: the name of the qemu-user program that runs the guests; empty if the processor runs them.
    ``packages``: the Debian packages of the compiler and the C library.
    """

    name: str
    triplet: str
    flags: tuple[str, ...]
    emulator: str
    packages: str

    @property
    def compiler(self) -> str:
        """The name of the C compiler."""
        return f"{self.triplet}-gcc" if self.triplet else "gcc"

    @property
    def sysroot(self) -> Path | None:
        """The directory of the target's dynamic linker and libraries; None for a native target."""
        return Path("/usr") / self.triplet if self.triplet else None


def _cross(name: str, triplet: str, debian_name: str, *flags: str, emulator: str = "") -> Target:
    packages = f"gcc-{triplet.replace('_', '-')} libc6-dev-{debian_name}-cross"
    return Target(name, triplet, flags, emulator, packages)


NATIVE = Target("native", "", ("-fPIE", "-pie"), "", "gcc libc6-dev")
NO_PIE = Target("no-pie", "", ("-fno-pie", "-no-pie"), "", "gcc libc6-dev")
STATIC = Target("static", "", ("-static",), "", "gcc libc6-dev")
STATIC_PIE = Target("static-pie", "", ("-fPIE", "-static-pie"), "", "gcc libc6-dev")
I686 = _cross("i686", "i686-linux-gnu", "i386", "-static")
"""Guests for i386 are static, because Debian's cross compiler installs no dynamic linker in /lib."""

AARCH64 = _cross("aarch64", "aarch64-linux-gnu", "arm64", emulator="qemu-aarch64")
MIPSEL = _cross("mipsel", "mipsel-linux-gnu", "mipsel", emulator="qemu-mipsel")
MIPS = _cross("mips", "mips-linux-gnu", "mips", emulator="qemu-mips")
RISCV64 = _cross("riscv64", "riscv64-linux-gnu", "riscv64", emulator="qemu-riscv64")
S390X = _cross("s390x", "s390x-linux-gnu", "s390x", emulator="qemu-s390x")

NATIVE_TARGETS = (NATIVE, NO_PIE, STATIC, STATIC_PIE, I686)
FOREIGN_TARGETS = (AARCH64, MIPSEL, MIPS, RISCV64, S390X)
