"""The architectures that qemu-user emulates, and the choice of an architecture by an ELF header.

Machine numbers are those in Linux' ``include/uapi/linux/elf-em.h`` and in QEMU's ``include/elf.h``. In QEMU's
``linux-user``, the ``elf_check_arch`` of each target defines the numbers that the target's emulator accepts.
"""

# pathlib is not used: it changes paths ("./a" becomes "a"), and is slow to import.

from __future__ import annotations

import os
import sys
from functools import cache
from typing import NamedTuple

from htrun import hosts
from htrun.launch.elf import ElfError, ElfHeader

_EM_386, _EM_486, _EM_MIPS, _EM_X86_64 = 3, 6, 8, 62

_EF_MIPS_ABI2 = 0x20
"""The bit in ``e_flags`` of a 32-bit MIPS program that is set for the n32 calling convention and clear for o32."""

_IA32_EMULATION_SIGN = "/proc/sys/abi/vsyscall32"
"""A 64-bit x86 kernel has this file if and only if it was built to run 32-bit programs (``arch/x86/entry/vdso``)."""


class UnknownMachineError(ElfError):
    """No emulator of qemu-user runs programs for this machine, class and byte order."""


class Architecture(NamedTuple):
    """The architecture of one emulator.

    ``name``: as in ``qemu-NAME``. ``triples``: the GNU names of the architecture under which distributions install its
    libraries in ``/usr``, the most common name first.
    """

    name: str
    triples: tuple[str, ...]


_Key = tuple[int, int, bool]
"""The key of an architecture: ``e_machine``, the number of bits, and whether it is big-endian."""

_LITTLE, _BIG = False, True

_BY_HEADER: dict[_Key, Architecture] = {
    (183, 64, _LITTLE): Architecture("aarch64", ("aarch64-linux-gnu", "aarch64-linux-musl")),
    (183, 64, _BIG): Architecture("aarch64_be", ("aarch64_be-linux-gnu",)),
    (0x9026, 64, _LITTLE): Architecture("alpha", ("alpha-linux-gnu",)),
    (40, 32, _LITTLE): Architecture("arm", ("arm-linux-gnueabihf", "arm-linux-gnueabi", "arm-linux-musleabihf")),
    (40, 32, _BIG): Architecture("armeb", ("armeb-linux-gnueabihf", "armeb-linux-gnueabi")),
    (76, 32, _LITTLE): Architecture("cris", ("cris-linux-gnu",)),
    (164, 32, _LITTLE): Architecture("hexagon", ("hexagon-unknown-linux-musl",)),
    (15, 32, _BIG): Architecture("hppa", ("hppa-linux-gnu",)),
    (_EM_386, 32, _LITTLE): Architecture("i386", ("i686-linux-gnu", "i386-linux-gnu", "i486-linux-gnu")),
    (258, 64, _LITTLE): Architecture("loongarch64", ("loongarch64-linux-gnu",)),
    (4, 32, _BIG): Architecture("m68k", ("m68k-linux-gnu",)),
    (189, 32, _BIG): Architecture("microblaze", ("microblaze-linux-gnu",)),
    (189, 32, _LITTLE): Architecture("microblazeel", ("microblazeel-linux-gnu",)),
    (_EM_MIPS, 32, _BIG): Architecture("mips", ("mips-linux-gnu", "mipsisa32r6-linux-gnu")),
    (_EM_MIPS, 32, _LITTLE): Architecture("mipsel", ("mipsel-linux-gnu", "mipsisa32r6el-linux-gnu")),
    (_EM_MIPS, 64, _BIG): Architecture("mips64", ("mips64-linux-gnuabi64", "mipsisa64r6-linux-gnuabi64")),
    (_EM_MIPS, 64, _LITTLE): Architecture("mips64el", ("mips64el-linux-gnuabi64", "mipsisa64r6el-linux-gnuabi64")),
    (113, 32, _LITTLE): Architecture("nios2", ("nios2-linux-gnu",)),
    (92, 32, _BIG): Architecture("or1k", ("or1k-linux-gnu",)),
    (20, 32, _BIG): Architecture("ppc", ("powerpc-linux-gnu",)),
    (21, 64, _BIG): Architecture("ppc64", ("powerpc64-linux-gnu",)),
    (21, 64, _LITTLE): Architecture("ppc64le", ("powerpc64le-linux-gnu",)),
    (243, 32, _LITTLE): Architecture("riscv32", ("riscv32-linux-gnu",)),
    (243, 64, _LITTLE): Architecture("riscv64", ("riscv64-linux-gnu",)),
    (22, 64, _BIG): Architecture("s390x", ("s390x-linux-gnu",)),
    (42, 32, _LITTLE): Architecture("sh4", ("sh4-linux-gnu",)),
    (42, 32, _BIG): Architecture("sh4eb", ("sh4eb-linux-gnu",)),
    (2, 32, _BIG): Architecture("sparc", ("sparc-linux-gnu",)),
    (18, 32, _BIG): Architecture("sparc32plus", ("sparc-linux-gnu", "sparc64-linux-gnu")),
    (43, 64, _BIG): Architecture("sparc64", ("sparc64-linux-gnu",)),
    (_EM_X86_64, 64, _LITTLE): Architecture("x86_64", ("x86_64-linux-gnu",)),
    (94, 32, _LITTLE): Architecture("xtensa", ("xtensa-linux-gnu",)),
    (94, 32, _BIG): Architecture("xtensaeb", ("xtensaeb-linux-gnu",)),
}

_MIPS_N32 = {
    _LITTLE: Architecture("mipsn32el", ("mips64el-linux-gnuabin32", "mipsisa64r6el-linux-gnuabin32")),
    _BIG: Architecture("mipsn32", ("mips64-linux-gnuabin32", "mipsisa64r6-linux-gnuabin32")),
}

_SYNONYMS = {_EM_486: _EM_386, 0xBAAB: 189}
"""Old unofficial machine numbers, of the 486 and of Microblaze. Each maps to the official number."""

_NATIVE_64 = {(_EM_X86_64, 64), (_EM_X86_64, 32)}
_NATIVE_32 = {(_EM_386, 32), (_EM_486, 32)}

NAMES = frozenset(entry.name for entry in (*_BY_HEADER.values(), *_MIPS_N32.values()))
"""Each ``ARCH`` for which qemu-user has a ``qemu-ARCH``."""


def find_architecture(header: ElfHeader) -> Architecture | None:
    """The architecture of the program with this header; None if qemu-user does not emulate it."""
    machine = _SYNONYMS.get(header.machine, header.machine)
    if machine == _EM_MIPS and header.bits == 32 and header.flags & _EF_MIPS_ABI2:
        return _MIPS_N32[header.big_endian]
    return _BY_HEADER.get((machine, header.bits, header.big_endian))


def architecture(header: ElfHeader, path: str) -> Architecture:
    """Like `find_architecture`, but raises `UnknownMachineError` if there is none. ``path``: named in the error."""
    found = find_architecture(header)
    if found is None:
        order = "big" if header.big_endian else "little"
        raise UnknownMachineError(
            f"{path}: a program for ELF machine {header.machine} ({header.bits}-bit, {order}-endian), which neither "
            "this kernel nor qemu-user runs: give an emulator with --emulator"
        )
    return found


def is_native(header: ElfHeader) -> bool:
    """Whether this host's kernel can start a program with this ``header`` itself.

    On x86-64, programs of the x32 convention count as native. No emulator runs them, so the kernel decides whether they
    run. On other hosts, only 64-bit programs count as native.
    """
    if header.big_endian != (sys.byteorder == "big"):
        return False
    kind = (header.machine, header.bits)
    if hosts.machine().machine != _EM_X86_64:
        return kind == (hosts.machine().machine, 64)
    return kind in _NATIVE_64 or (kind in _NATIVE_32 and _runs_ia32())


@cache
def _runs_ia32() -> bool:
    return os.path.exists(_IA32_EMULATION_SIGN)
