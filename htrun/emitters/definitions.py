"""The definitions of events in the source text of a C-like language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from htrun.events.definition_notes import NAME, VERSION
from htrun.events.definition_text import text_of

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents

_PIECE = 400
"""The maximum length of a string. C99 guarantees 4095 bytes (5.2.4.1)."""
_ALIGNMENT = 4


class Pieces:
    """The text of ``names`` in pieces of a structure: ``(literal, room)``, where ``room`` is the size in bytes of an
    array for the literal and its NUL. ``size``: the total size in bytes, a multiple of 4."""

    def __init__(self, names: NamedEvents) -> None:
        text = text_of(names.events).encode()
        parts = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        rooms = [len(part) + 1 for part in parts]
        self.size = -(-sum(rooms) // _ALIGNMENT) * _ALIGNMENT
        rooms[-1] += self.size - sum(rooms)
        self.pieces = list(zip(map(literal, parts), rooms, strict=True))


def c_note(names: NamedEvents, variable: str) -> Iterator[str]:
    """The lines of C that put the definitions of ``names`` into the note section, as ``variable``.

    Each file that is compiled with these lines has a copy, which is not a global symbol. Linkers keep notes even if
    nothing refers to them (``--gc-sections``), and ``strip`` keeps all sections that are loaded.
    """
    found = Pieces(names)
    yield "/* The definitions of the events, which htrun reads in the program's file. */"
    yield "#if defined(__ELF__) && !defined(QEMU_HYPERTRACE_NO_DEFINITIONS)"
    yield '__attribute__((__used__, __section__(".note.hypertrace"), __aligned__(4)))'
    yield "static const struct {"
    yield "    uint32_t name_size_, size_, version_;"
    yield "    char name_[12];"
    for number, (_, room) in enumerate(found.pieces):
        yield f"    char text{number}_[{room}];"
    yield f"}} {variable} = {{"
    yield f'    {len(NAME)}, {found.size}, {VERSION}, "{NAME[:-1].decode()}",'
    for text, _ in found.pieces:
        yield f"    {text},"
    yield "};"
    yield "#endif"


def literal(text: bytes) -> str:
    """``text`` as a string literal of C and C++, in lines."""
    lines = text.splitlines(keepends=True) or [b""]
    return "\n    ".join(f'"{"".join(map(_escaped, line))}"' for line in lines)


def _escaped(byte: int) -> str:
    if byte == ord("\n"):
        return "\\n"
    # Without the escape, ?? could begin a trigraph.
    if byte in b'\\"?':
        return "\\" + chr(byte)
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
