"""Reads the headers of an ELF program, without a library, since they have only a few hundred bytes.

Layouts and numbers are those in elf(5) and in Linux' ``include/uapi/linux/elf.h``.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from typing import NamedTuple

from htrun.errors import ExitCode, HtrunError

MAGIC = b"\x7fELF"

_MAX_PROGRAM_HEADERS_SIZE = 65536
"""The maximum size of the program headers in bytes. Linux (``load_elf_phdrs``) refuses to run a program with more."""
_MAX_INTERPRETER_SIZE = 4096
"""The maximum length of an interpreter's path in bytes, with the terminating NUL. Linux (``load_elf_binary``) refuses a
path longer than ``PATH_MAX``."""

_CLASS_BITS = {1: 32, 2: 64}
_DATA_BIG_ENDIAN = {1: False, 2: True}
_PT_LOAD, _PT_INTERP, _PT_NOTE = 1, 3, 4


class ElfError(HtrunError):
    """The file is not a program that an ELF loader could start. The exit code is 126."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.NOT_EXECUTABLE)


class NotElfError(ElfError):
    """The file does not begin like an ELF file."""


class TruncatedElfError(ElfError):
    """The file ends before the end of something that its headers describe."""


class MalformedElfError(ElfError):
    """The headers contradict each other, or violate the requirements of every ELF loader."""


class UnreadableElfError(ElfError):
    """The file could not be opened or read."""


class ElfType(IntEnum):
    """``e_type``: the kind of an ELF file. Only EXEC and DYN files are programs."""

    REL = 1
    EXEC = 2
    DYN = 3
    CORE = 4


class ElfHeader(NamedTuple):
    """The part of the headers that determines where a program can run.

    ``machine``: ``e_machine``. ``bits``: 32 or 64, the class of the file. ``type``: ``e_type``, for a program 2 (fixed
    address) or 3 (position independent). ``flags``: ``e_flags``, whose meaning depends on the machine. ``interpreter``:
    the path of the dynamic linker inside the program's root; None in a static program.
    """

    machine: int
    bits: int
    big_endian: bool
    type: int
    flags: int
    interpreter: str | None = None


class _Class(NamedTuple):
    """The layout of one ELF class. Each structure begins after the 16 bytes of ``e_ident``."""

    header_size: int
    header: str
    program_header: str
    program_header_fields: tuple[int, int, int]
    """The indexes of ``p_type``, ``p_offset`` and ``p_filesz`` among the fields of a program header."""


_CLASSES = {
    32: _Class(52, "HHIIIIIHHH", "IIIIIIII", (0, 1, 4)),
    64: _Class(64, "HHIQQQIHHH", "IIQQQQQQ", (0, 2, 5)),
}


class _ProgramHeaders(NamedTuple):
    """The location of the table of program headers. ``offset`` and ``entry_size`` are in bytes."""

    offset: int
    entries: int
    entry_size: int


def read_header(path: str | os.PathLike[str]) -> ElfHeader:
    """The headers of the program at ``path``, with the path of its interpreter.

    Raises a subclass of `ElfError` for a file that cannot be read, is not an ELF file, has invalid headers, or is
    truncated, for example before the end of a loadable segment. Any type of ELF file is accepted.
    """
    name = os.fspath(path)
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return _read(file, name)
        finally:
            os.close(file)
    except OSError as error:
        raise UnreadableElfError(f"{name}: {error.strerror}") from error
    except ValueError as error:
        raise UnreadableElfError(f"{name!r}: {error}") from error


class Notes(NamedTuple):
    """The contents of a file's note segments (elf(5), ``Nhdr``), and the byte order of the headers of the notes."""

    contents: tuple[bytes, ...]
    big_endian: bool


def read_notes(file: int, name: str, most: int) -> Notes:
    """The note segments of the open ELF ``file``; none for a file that is no ELF file. ``name``: its name in error
    messages. ``most``: the maximum size of a segment in bytes; larger segments are left out.

    Raises a subclass of `ElfError`, and OSError if the file cannot be read.
    """
    try:
        header, where = _parse(os.pread(file, 64, 0), name)
    except NotElfError:
        return Notes((), big_endian=False)
    layout = _CLASSES[header.bits]
    format_ = struct.Struct(_order(header.big_endian) + layout.program_header)
    size = where.entries * format_.size
    if where.entry_size != format_.size or size > _MAX_PROGRAM_HEADERS_SIZE:
        return Notes((), header.big_endian)
    table = os.pread(file, size, where.offset)
    if len(table) != size:
        raise TruncatedElfError(f"{name}: truncated ELF file: its program headers lie after its end")
    places = [tuple(fields[index] for index in layout.program_header_fields) for fields in format_.iter_unpack(table)]
    found = (os.pread(file, length, offset) for kind, offset, length in places if kind == _PT_NOTE and length <= most)
    return Notes(tuple(found), header.big_endian)


def parse_header(start: bytes, name: str) -> ElfHeader:
    """The header in the first bytes of a file (64 bytes are enough), without the interpreter. ``name``: the name of the
    file in error messages."""
    return _parse(start, name)[0]


def _parse(start: bytes, name: str) -> tuple[ElfHeader, _ProgramHeaders]:
    if not start.startswith(MAGIC):
        raise NotElfError(f"{name}: not an ELF file")
    if len(start) < 16:
        raise TruncatedElfError(f"{name}: truncated ELF file: it ends within its header")
    bits, big_endian = _CLASS_BITS.get(start[4]), _DATA_BIG_ENDIAN.get(start[5])
    if bits is None:
        raise MalformedElfError(f"{name}: malformed ELF file: class {start[4]} is neither 32-bit (1) nor 64-bit (2)")
    if big_endian is None:
        raise MalformedElfError(
            f"{name}: malformed ELF file: byte order {start[5]} is neither little-endian (1) nor big-endian (2)"
        )
    layout = _CLASSES[bits]
    if len(start) < layout.header_size:
        raise TruncatedElfError(f"{name}: truncated ELF file: it ends within its header")
    kind, machine, _, _, offset, _, flags, _, entry_size, count = struct.unpack_from(
        _order(big_endian) + layout.header, start, 16
    )
    return ElfHeader(machine, bits, big_endian, kind, flags), _ProgramHeaders(offset, count, entry_size)


def _read(file: int, name: str) -> ElfHeader:
    header, where = _parse(os.pread(file, 64, 0), name)
    if not where.entries:
        return header
    layout = _CLASSES[header.bits]
    format_ = struct.Struct(_order(header.big_endian) + layout.program_header)
    if where.entry_size != format_.size:
        raise MalformedElfError(
            f"{name}: malformed ELF file: program headers of {where.entry_size} bytes instead of {format_.size}"
        )
    size = where.entries * format_.size
    if size > _MAX_PROGRAM_HEADERS_SIZE:
        raise MalformedElfError(f"{name}: malformed ELF file: {where.entries} program headers")
    file_size = os.fstat(file).st_size
    if where.offset + size > file_size:
        raise TruncatedElfError(f"{name}: truncated ELF file: its program headers lie after its end")
    interpreter = None
    for fields in format_.iter_unpack(os.pread(file, size, where.offset)):
        kind, offset, length = (fields[index] for index in layout.program_header_fields)
        if kind == _PT_INTERP and interpreter is None:
            interpreter = _read_interpreter(file, name, offset, length, file_size)
        elif kind == _PT_LOAD and length and offset + length > file_size:
            raise TruncatedElfError(
                f"{name}: truncated ELF file: it has {file_size} bytes, but its program needs {offset + length}"
            )
    return ElfHeader(header.machine, header.bits, header.big_endian, header.type, header.flags, interpreter)


def _read_interpreter(file: int, name: str, offset: int, length: int, file_size: int) -> str:
    if not 2 <= length <= _MAX_INTERPRETER_SIZE:
        raise MalformedElfError(f"{name}: malformed ELF file: an interpreter's path of {length} bytes")
    if offset + length > file_size:
        raise TruncatedElfError(f"{name}: truncated ELF file: its interpreter's path lies after its end")
    text = os.pread(file, length, offset)
    if text[-1:] != b"\0" or text[:1] == b"\0":
        raise MalformedElfError(f"{name}: malformed ELF file: its interpreter's path is not a string")
    return os.fsdecode(text[: text.index(b"\0")])


def _order(big_endian: bool) -> str:
    return ">" if big_endian else "<"
