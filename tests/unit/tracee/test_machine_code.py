"""The machine code that htrun runs is what its sources say, and both sides agree on the structures they share."""

from __future__ import annotations

import ctypes
import importlib
import re
import subprocess
from pathlib import Path

import pytest

import htrun.tracee
from htrun.rings import layout
from htrun.tracee import known_traps, trap_wait
from htrun.tracee.registers import Registers
from tests.support.requirements import require_tool

DIRECTORY = Path(htrun.tracee.__file__).parent
SOURCES = sorted(DIRECTORY.glob("*.S"))
_OFFSET = re.compile(r"\s*\.set (\w+), (\w+)")

STRUCTURES = {
    "Block": ("", trap_wait._Block),
    "KnownTraps": ("", known_traps._Known),
    "TrapRun": ("RUN_", known_traps.TrapRun),
    "KnownThread": ("THREAD_", known_traps._KnownThread),
    "KnownSite": ("SITE_", known_traps._KnownSite),
}
OTHER_NAMES = {"RUN_SINCE": "seconds"}
SIZES = {"THREAD_SHIFT": known_traps._KnownThread, "SITE_SHIFT": known_traps._KnownSite}


def offsets(source: Path, heading: str) -> dict[str, int]:
    """The ``.set`` lines below the comment that begins with ``heading``."""
    lines = source.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"# {heading}"))
    found = {}
    for line in lines[start + 1 :]:
        match = _OFFSET.fullmatch(line)
        if match is None:
            break
        found[match[1]] = int(match[2], 0)
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_bytes_are_those_of_the_source(source: Path, tmp_path: Path) -> None:
    assembler, objcopy = require_tool("as", "binutils"), require_tool("objcopy", "binutils")
    assembled, code = tmp_path / "code.o", tmp_path / "code"
    subprocess.run([assembler, "--64", "-I", DIRECTORY, "-o", assembled, source], check=True)
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", assembled, code], check=True)
    module = importlib.import_module(f"htrun.tracee.{source.stem}_code")
    assert code.read_bytes() == module.CODE, f"run: tools/assemble {source.stem}"


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_offsets_in_a_structure(name: str) -> None:
    prefix, structure = STRUCTURES[name]
    for symbol, value in offsets(DIRECTORY / "trap_wait.S", f"struct {name}").items():
        if symbol in SIZES:
            assert 1 << value == ctypes.sizeof(SIZES[symbol])
        elif symbol == "SITE_INDEX_BITS":
            assert 1 << value == known_traps.SITES
        elif symbol == "SITE_MULTIPLIER":
            assert value == known_traps._SITE_MULTIPLIER
        else:
            field = OTHER_NAMES.get(symbol, symbol.removeprefix(prefix).lower())
            assert value == getattr(structure, field).offset, symbol


def test_the_offsets_in_a_control_block_and_in_the_registers() -> None:
    found = offsets(DIRECTORY / "trap_wait.S", "A ring's control block")
    assert found == {name: getattr(layout, name) for name in ("POSITION", "PACKET_END", "TRAP_TIME")}
    registers = offsets(DIRECTORY / "linux.inc", "struct user_regs_struct")
    assert registers == {"user_rip": Registers.rip.offset}
