"""Headers of ELF files are read. Invalid headers are rejected with a message of one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htrun.errors import ExitCode, HtrunError
from htrun.launch.elf import (
    ElfHeader,
    MalformedElfError,
    NotElfError,
    TruncatedElfError,
    UnreadableElfError,
    read_header,
)
from tests.unit.launch.elves import elf, write_program

SHAPES = [(bits, big_endian) for bits in (32, 64) for big_endian in (False, True)]

COMPILERS = {
    "aarch64": ElfHeader(183, 64, False, 3, 0, "/lib/ld-linux-aarch64.so.1"),
    "mips": ElfHeader(8, 32, True, 3, 0x70001007, "/lib/ld.so.1"),
    "mipsel": ElfHeader(8, 32, False, 3, 0x70001007, "/lib/ld.so.1"),
    "riscv64": ElfHeader(243, 64, False, 3, 5, "/lib/ld-linux-riscv64-lp64d.so.1"),
    "s390x": ElfHeader(22, 64, True, 3, 0, "/lib/ld64.so.1"),
    "i686": ElfHeader(3, 32, False, 3, 0, "/lib/ld-linux.so.2"),
    "x86_64": ElfHeader(62, 64, False, 3, 0, "/lib64/ld-linux-x86-64.so.2"),
}


@pytest.mark.parametrize(("bits", "big_endian"), SHAPES)
def test_every_field_is_read_in_either_class_and_byte_order(tmp_path: Path, bits: int, big_endian: bool) -> None:
    content = elf(0x1234, bits, big_endian, flags=0x89ABCDEF, kind=3, interpreter=b"/lib/ld.so", loaded=10)
    path = write_program(tmp_path / "program", content)
    assert read_header(path) == ElfHeader(0x1234, bits, big_endian, 3, 0x89ABCDEF, "/lib/ld.so")


@pytest.mark.parametrize(("bits", "big_endian"), SHAPES)
def test_a_file_cut_anywhere_is_refused_as_truncated(tmp_path: Path, bits: int, big_endian: bool) -> None:
    whole = elf(8, bits, big_endian, interpreter=b"/lib/ld.so", loaded=10)
    for size in range(4, len(whole)):
        with pytest.raises(TruncatedElfError, match="truncated ELF file") as raised:
            read_header(write_program(tmp_path / "program", whole[:size]))
        assert raised.value.exit_code == ExitCode.NOT_EXECUTABLE


@pytest.mark.parametrize("name", COMPILERS)
def test_the_cross_compilers_programs(tmp_path: Path, name: str) -> None:
    source = tmp_path / "main.c"
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run([f"{name}-linux-gnu-gcc", "-o", tmp_path / "main", source], check=True)
    assert read_header(tmp_path / "main") == COMPILERS[name]


@pytest.mark.parametrize("content", [b"", b"\x7fEL", b"#!/bin/sh\n", b"MZ\x90\0"])
def test_other_files_are_no_elf_files(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NotElfError, match="not an ELF file"):
        read_header(write_program(tmp_path / "file", content))


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (4, b"\x03", "class 3"),
        (5, b"\x00", "byte order 0"),
        (54, b"\x39\x00", "program headers of 57 bytes instead of 56"),
        (56, b"\xff\xff", "65535 program headers"),
        (64 + 32, b"\x01\x00", "an interpreter's path of 1 bytes"),
        (64 + 32, b"\x02\x10", "an interpreter's path of 4098 bytes"),
        (64 + 56 + 10, b"x", "its interpreter's path is not a string"),
    ],
)
def test_headers_that_make_no_sense(tmp_path: Path, position: int, value: bytes, message: str) -> None:
    content = bytearray(elf(62, 64, False, interpreter=b"/lib/ld.so"))
    content[position : position + len(value)] = value
    with pytest.raises(MalformedElfError, match=message):
        read_header(write_program(tmp_path / "program", bytes(content)))


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableElfError, match="No such file"):
        read_header(tmp_path / "nothing")
    with pytest.raises(UnreadableElfError, match="directory"):
        read_header(tmp_path)
    with pytest.raises(UnreadableElfError, match="null"):
        read_header("a\0b")


def _refused_or_read(path: Path) -> None:
    refusal: HtrunError | None = None
    try:
        header = read_header(path)
    except HtrunError as error:
        refusal = error
    if refusal is None:
        assert header.bits in (32, 64)
    else:
        assert "\n" not in str(refusal)
        assert refusal.exit_code == ExitCode.NOT_EXECUTABLE


@settings(max_examples=200, deadline=None)
@given(garbage=st.binary(max_size=300))
def test_garbage_is_refused_with_one_line(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    directory = tmp_path_factory.getbasetemp()
    _refused_or_read(write_program(directory / "garbage", garbage))
    _refused_or_read(write_program(directory / "garbage", b"\x7fELF" + garbage))


@settings(max_examples=400, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_program_is_read_or_refused_with_one_line(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, bool], changes: list[tuple[int, int]]
) -> None:
    content = bytearray(elf(62, *shape, interpreter=b"/lib/ld.so", loaded=20))
    for position, value in changes:
        content[position % len(content)] = value
    _refused_or_read(write_program(tmp_path_factory.getbasetemp() / "damaged", bytes(content)))
