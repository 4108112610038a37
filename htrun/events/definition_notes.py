"""The note that contains the definitions of a program's named events.

The code that ``hypertrace header`` generates has this note (elf(5), ``Nhdr``) in the section ``.note.hypertrace``. If
the language has no sections, the note is in a mapping of a file whose name begins with `MAPPING`. The note's name is
`NAME`, its type is the version of the format, and its contents are the definitions as a TOML text.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

NAME = b"hypertrace\0"
MAPPING = b"hypertrace-events"
"""The beginning of the name of the file whose mapping contains notes."""
VERSION = 1
"""The type of the note, which is the version of its format."""
_HEADER = "III"
_ALIGNMENT = 4


class NewerNoteError(ValueError):
    """A note has a version that is not `VERSION`. ``args[0]``: the version."""


def note(text: str, *, big_endian: bool = False) -> bytes:
    """The note with the definitions ``text``."""
    contents = text.encode()
    header = struct.pack(_order(big_endian) + _HEADER, len(NAME), len(contents), VERSION)
    return header + _padded(NAME) + _padded(contents)


def texts_of(notes: bytes, *, big_endian: bool) -> Iterator[str]:
    """The definitions in ``notes``, which may contain notes of others. Damaged notes are ignored.

    Raises `NewerNoteError` at a note of another version.
    """
    header = struct.Struct(_order(big_endian) + _HEADER)
    place = 0
    while place + header.size <= len(notes):
        name_size, size, type_ = header.unpack_from(notes, place)
        if not name_size and not size:
            # The rest of a mapping is empty; programs write the size of a name last.
            return
        start = place + header.size + _up(name_size)
        name = notes[place + header.size : place + header.size + name_size]
        if start + size > len(notes):
            return
        if name == NAME:
            if type_ != VERSION:
                raise NewerNoteError(type_)
            # Compilers put a NUL at the end of each string.
            yield notes[start : start + size].replace(b"\0", b"").decode(errors="replace")
        place = start + _up(size)


def _order(big_endian: bool) -> str:
    return ">" if big_endian else "<"


def _up(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _padded(contents: bytes) -> bytes:
    return contents.ljust(_up(len(contents)), b"\0")
