"""Names for addresses in files."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from htrun.intercept.places import Place
from htrun.intercept.symbols import GENERATED, function_at, symbol_of
from tests.support.requirements import require_tool

SOURCE = """
__asm__(".globl label\\nlabel: nop\\nnop\\nret\\n.skip 64\\n");
int first(int x) { return x + 1; }
int main(void) { return first(-1); }
"""


@pytest.fixture(scope="module", params=["-no-pie", "-pie"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with the symbols of `SOURCE`."""
    directory = tmp_path_factory.mktemp("symbols")
    (directory / "program.c").write_text(SOURCE)
    compiler = require_tool("gcc", "gcc")
    command = [compiler, "-O0", "-fPIE", request.param, "-o", "program", "program.c"]
    subprocess.run(command, cwd=directory, check=True)
    return directory / "program"


def addresses(program: Path) -> dict[str, int]:
    """The offsets of its functions in the file, computed from nm and the program headers."""
    told = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    symbols = {words[2]: int(words[0], 16) for line in told.splitlines() if len(words := line.split()) == 3}
    headers = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    code = next(line.split() for line in headers.splitlines() if "LOAD" in line and "R E" in line)
    offset, address = int(code[1], 16), int(code[2], 16)
    return {name: value - address + offset for name, value in symbols.items()}


def place(file: str, base: int = 0x5500_0000_0000, offset: int = 0x1000) -> Place:
    return Place(base, base + 0x4000, file, offset, shared=False)


@pytest.mark.parametrize(("name", "within"), [("first", 0), ("first", 5), ("main", 3), ("label", 2)])
def test_an_address_in_a_function(program: Path, name: str, within: int) -> None:
    where = place(str(program))
    address = where.start + addresses(program)[name] - where.offset + within
    assert symbol_of(where, address) == f"{name}+{within:#x}"


def test_an_address_that_no_segment_holds(program: Path) -> None:
    where = place(str(program), offset=0x10_0000)
    assert symbol_of(where, where.start + 0x10) == "program+0x100010"


@pytest.mark.parametrize("content", [None, b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"])
def test_a_file_that_tells_nothing(tmp_path: Path, content: bytes | None, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "strange"
    if content is not None:
        file.write_bytes(content)
    where = place(str(file))
    assert symbol_of(where, where.start + 0x20) == "strange+0x1020"
    assert capfd.readouterr() == ("", "")


def test_code_of_no_file() -> None:
    assert symbol_of(place(""), 0x5500_0000_0010) == GENERATED


def test_a_damaged_file_tells_less(program: Path, tmp_path: Path) -> None:
    """Any byte of the headers or the symbol tables is changed, or the file is truncated at any position."""
    whole, chance = program.read_bytes(), random.Random(20)
    starts, named = addresses(program), 0
    for number in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 20)):
            damaged[chance.choice([chance.randrange(64), chance.randrange(len(whole))])] = chance.randrange(256)
        # Each in a new file, since the symbols of a file are cached.
        file = tmp_path / f"damaged{number}"
        file.write_bytes(damaged[: chance.randrange(len(whole))] if number % 3 == 0 else damaged)
        for offset in (0, starts["main"], len(whole), 2**63):
            named += function_at(str(file), offset) is not None
    assert named > 0
