"""ELF files written by hand, for tests of their readers."""

from __future__ import annotations

import struct
from pathlib import Path


def elf(
    machine: int,
    bits: int,
    big_endian: bool,
    *,
    flags: int = 0,
    kind: int = 2,
    interpreter: bytes | None = None,
    loaded: int = 0,
) -> bytes:
    """A complete ELF file: the header, one program header for each of ``interpreter`` and ``loaded``, and their
    bytes."""
    order = ">" if big_endian else "<"
    header_size, entry_size = (64, 56) if bits == 64 else (52, 32)
    segments = [(3, interpreter + b"\0")] if interpreter is not None else []
    if loaded:
        segments.append((1, b"\x90" * loaded))
    offset = header_size + len(segments) * entry_size
    table, contents = b"", b""
    for segment, content in segments:
        table += _program_header(order, bits, segment, offset + len(contents), len(content))
        contents += content
    ident = b"\x7fELF" + bytes([bits // 32, 2 if big_endian else 1, 1]) + bytes(9)
    layout = "HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH"
    header = struct.pack(
        order + layout, kind, machine, 1, 0, header_size, 0, flags, header_size, entry_size, len(segments), 0, 0, 0
    )
    return ident + header + table + contents


def _program_header(order: str, bits: int, segment: int, offset: int, size: int) -> bytes:
    if bits == 64:
        return struct.pack(order + "IIQQQQQQ", segment, 5, offset, 0, 0, size, size, 4096)
    return struct.pack(order + "IIIIIIII", segment, offset, 0, 0, size, size, 5, 4096)


def write_program(path: Path, content: bytes, mode: int = 0o755) -> Path:
    """An executable file."""
    path.write_bytes(content)
    path.chmod(mode)
    return path
