"""The emulator for each machine, class, byte order and calling convention."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from htrun.errors import ExitCode
from htrun.launch.architectures import NAMES, UnknownMachineError, architecture, find_architecture, is_native
from htrun.launch.elf import ElfHeader, read_header
from tests.unit.launch.elves import elf, write_program

LITTLE, BIG = False, True

EMULATORS = [
    # machine, bits, byte order, e_flags, emulator
    (183, 64, LITTLE, 0, "aarch64"),
    (183, 64, BIG, 0, "aarch64_be"),
    (0x9026, 64, LITTLE, 0, "alpha"),
    (40, 32, LITTLE, 0x05000400, "arm"),
    (40, 32, BIG, 0x05800000, "armeb"),
    (76, 32, LITTLE, 0, "cris"),
    (164, 32, LITTLE, 0x60, "hexagon"),
    (15, 32, BIG, 0x210, "hppa"),
    (3, 32, LITTLE, 0, "i386"),
    (6, 32, LITTLE, 0, "i386"),
    (258, 64, LITTLE, 0x43, "loongarch64"),
    (4, 32, BIG, 0, "m68k"),
    (189, 32, BIG, 0, "microblaze"),
    (0xBAAB, 32, BIG, 0, "microblaze"),
    (189, 32, LITTLE, 0, "microblazeel"),
    (8, 32, BIG, 0x70001007, "mips"),
    (8, 32, LITTLE, 0x70001007, "mipsel"),
    (8, 32, BIG, 0x80000027, "mipsn32"),
    (8, 32, LITTLE, 0x80000027, "mipsn32el"),
    (8, 64, BIG, 0x80000007, "mips64"),
    (8, 64, LITTLE, 0x80000007, "mips64el"),
    (113, 32, LITTLE, 0, "nios2"),
    (92, 32, BIG, 0, "or1k"),
    (20, 32, BIG, 0, "ppc"),
    (21, 64, BIG, 1, "ppc64"),
    (21, 64, LITTLE, 2, "ppc64le"),
    (243, 32, LITTLE, 5, "riscv32"),
    (243, 64, LITTLE, 5, "riscv64"),
    (22, 64, BIG, 0, "s390x"),
    (42, 32, LITTLE, 0x17, "sh4"),
    (42, 32, BIG, 0x17, "sh4eb"),
    (2, 32, BIG, 0, "sparc"),
    (18, 32, BIG, 0x100, "sparc32plus"),
    (43, 64, BIG, 0, "sparc64"),
    (62, 64, LITTLE, 0, "x86_64"),
    (94, 32, LITTLE, 0x300, "xtensa"),
    (94, 32, BIG, 0x300, "xtensaeb"),
]


@pytest.mark.parametrize(("machine", "bits", "big_endian", "flags", "name"), EMULATORS)
def test_the_emulator_of_each_kind_of_program(
    tmp_path: Path, machine: int, bits: int, big_endian: bool, flags: int, name: str
) -> None:
    header = read_header(write_program(tmp_path / "program", elf(machine, bits, big_endian, flags=flags)))
    assert architecture(header, "program").name == name


@pytest.mark.parametrize(("machine", "bits", "big_endian", "flags", "name"), EMULATORS)
def test_that_emulator_takes_such_a_program(
    tmp_path: Path, machine: int, bits: int, big_endian: bool, flags: int, name: str
) -> None:
    """QEMU itself says whether it accepts the header. A program without anything to load fails later, if at all."""
    path = write_program(tmp_path / "program", elf(machine, bits, big_endian, flags=flags))
    said = subprocess.run([f"qemu-{name}", path], capture_output=True, text=True, timeout=240).stderr
    assert "Invalid ELF image for this architecture" not in said


def test_every_emulator_installed_is_in_the_table() -> None:
    installed = subprocess.run(["dpkg", "-L", "qemu-user"], capture_output=True, text=True, check=True).stdout.split()
    names = {Path(path).name.removeprefix("qemu-") for path in installed if path.startswith("/usr/bin/qemu-")}
    assert len(names) > 30
    assert names <= NAMES
    assert {name for *_, name in EMULATORS} == NAMES


@pytest.mark.parametrize(
    ("machine", "bits", "big_endian"), [(0, 64, LITTLE), (50, 64, LITTLE), (183, 32, LITTLE), (62, 64, BIG)]
)
def test_a_machine_without_an_emulator(machine: int, bits: int, big_endian: bool) -> None:
    header = ElfHeader(machine, bits, big_endian, 2, 0)
    assert find_architecture(header) is None
    with pytest.raises(
        UnknownMachineError, match=rf"^app: a program for ELF machine {machine} .*--emulator$"
    ) as raised:
        architecture(header, "app")
    assert raised.value.exit_code == ExitCode.NOT_EXECUTABLE


def test_only_x86_is_native() -> None:
    native = {
        name for machine, bits, order, flags, name in EMULATORS if is_native(ElfHeader(machine, bits, order, 2, flags))
    }
    assert native == {"i386", "x86_64"}
    x32 = ElfHeader(62, 32, LITTLE, 2, 0)
    assert is_native(x32)
