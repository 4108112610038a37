"""The guest program among an emulator's arguments, compared with the emulator itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from htrun.launch.elf import ElfHeader
from htrun.launch.emulators import emulated_architecture
from htrun.launch.guests import emulated_guest
from htrun.launch.qemu_options import guest_position
from tests.unit.launch.elves import elf, write_program

COMMAND_LINES = [
    ["APP", "-L", "x"],
    ["-L", "/usr/aarch64-linux-gnu", "APP"],
    ["-0", "-strace", "APP", "a"],
    ["--strace", "APP"],
    ["-E", "A=1", "-E", "B=2", "-U", "LD_PRELOAD", "APP"],
    ["-cpu", "max", "-s", "8388608", "-r", "5.0", "-R", "0x10000000", "APP"],
    ["-singlestep", "-d", "nochain", "-D", "/dev/null", "-p", "4096", "-seed", "1", "APP"],
    ["-dfilter", "0x0+0x10", "-trace", "guest*", "--", "APP"],
    ["--", "APP"],
]
NO_PROGRAM = [
    [],
    ["-L"],
    ["--"],
    ["-version", "APP"],
    ["-h"],
    ["--help"],
    ["-no-such-option", "APP"],
    ["-L", "APP"],
    ["-", "APP"],
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A static aarch64 program that prints a known word."""
    directory = tmp_path_factory.mktemp("app")
    source = directory / "app.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("the guest runs"); }\n')
    subprocess.run(["aarch64-linux-gnu-gcc", "-static", "-o", directory / "app", source], check=True)
    return str(directory / "app")


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_the_word_that_qemu_runs(app: str, words: list[str]) -> None:
    argv = ["qemu-aarch64", *[word.replace("APP", app) for word in words]]
    assert guest_position(argv) == argv.index(app)
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.endswith("the guest runs\n")
    assert emulated_guest(argv) == ElfHeader(183, 64, False, 2, 0)


@pytest.mark.parametrize("words", NO_PROGRAM, ids=" ".join)
def test_command_lines_with_which_qemu_runs_nothing(app: str, words: list[str]) -> None:
    argv = ["qemu-aarch64", *[word.replace("APP", app) for word in words]]
    assert guest_position(argv) is None
    assert emulated_guest(argv) is None
    assert "the guest runs" not in subprocess.run(argv, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    "option",
    ["one-insn-per-tb", "perfmap", "jitdump", "xtensa-abi-call0", "tb-size 4", "t 33 40 1", "B 0", "g 1", "plugin x"],
)
def test_options_of_other_versions_and_machines(option: str) -> None:
    name, *value = option.split(" ", 1)
    assert guest_position(["qemu-x", f"-{name}", *value, "app", "-L"]) == 2 + len(value)


def test_every_option_of_this_emulator_is_known() -> None:
    """The options in ``-h``: a name, a second word if the option has a value, then its variable."""
    text = subprocess.run(["qemu-xtensa", "-h"], capture_output=True, text=True, check=False).stdout
    listed = [line.split() for line in text.splitlines() if line.startswith("-") and " QEMU_" in line]
    assert len(listed) > 15
    for option, *rest in listed:
        if option == "-version":
            continue
        value = ["value"] if not rest[0].startswith("QEMU_") or option in ("-seed", "-trace", "-plugin") else []
        assert guest_position(["qemu-xtensa", option, *value, "app"]) == 2 + len(value), option


def test_a_guest_that_can_not_be_read_is_unknown(tmp_path: Path) -> None:
    assert emulated_guest(["qemu-arm", str(tmp_path / "nothing")]) is None
    assert emulated_guest(["qemu-arm", str(write_program(tmp_path / "text", b"hello"))]) is None
    assert emulated_guest(["qemu-arm", str(write_program(tmp_path / "x", elf(40, 32, True)))]) == ElfHeader(
        40, 32, True, 2, 0
    )


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("qemu-aarch64", "aarch64"),
        ("/usr/bin/qemu-mips64el-static", "mips64el"),
        ("/opt/q/qemu-x86_64-11.1.3", "x86_64"),
        ("qemu-system-x86_64", None),
        ("qemu-img", None),
        ("my-qemu-arm", None),
        ("/usr/qemu-arm/app", None),
    ],
)
def test_names_of_emulators(program: str, name: str | None) -> None:
    assert emulated_architecture(program) == name
