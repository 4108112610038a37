"""Names for places in code, from the symbol tables of the files it came from.

lief takes 0.4 s to import, so this is for the end of a run, and only if somebody wants to know.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from htrun.intercept.places import Place

if TYPE_CHECKING:
    from lief import ELF

GENERATED = "generated code"


def symbol_of(place: Place, address: int) -> str:
    """``function+0x12`` for an ``address`` that lies in ``place``; the file's name and an offset where it has no symbol
    for it, `GENERATED` where there is no file."""
    if not place.file:
        return GENERATED
    offset = address - place.start + place.offset
    return _table(place.file).name_of(offset) or f"{PurePath(place.file).name}+{offset:#x}"


@dataclass(frozen=True, slots=True)
class _Table:
    """A file's functions, and how its bytes are loaded.

    ``segments``: ``(file offset, virtual address, bytes)``; ``starts``, ``functions``: addresses, and names and sizes,
    in order of address; a size of 0 is unknown.
    """

    segments: Sequence[tuple[int, int, int]]
    starts: Sequence[int]
    functions: Sequence[tuple[str, int]]

    def name_of(self, offset: int) -> str | None:
        """The function that byte ``offset`` of the file belongs to, and how far it lies in."""
        spans = (at - first for first, at, size in self.segments if first <= offset < first + size)
        distance = next(spans, None)
        place = -1 if distance is None else bisect.bisect_right(self.starts, offset + distance) - 1
        if distance is None or place < 0:
            return None
        (name, size), within = self.functions[place], offset + distance - self.starts[place]
        return f"{name}+{within:#x}" if not size or within < size else None


@cache
def _table(path: str) -> _Table:
    import lief

    lief.logging.disable()
    # None for what is no ELF file, or is not there any more.
    binary = lief.ELF.parse(path)
    if binary is None:
        return _Table((), (), ())
    segments = [
        (segment.file_offset, segment.virtual_address, segment.physical_size)
        for segment in binary.segments
        if segment.type == lief.ELF.Segment.TYPE.LOAD
    ]
    # At one address a function with a size is told rather than a label.
    functions = sorted((symbol.value, symbol.size, str(symbol.name)) for symbol in binary.symbols if _is_code(symbol))
    by_address = {value: (name, size) for value, size, name in functions}
    return _Table(segments, list(by_address), list(by_address.values()))


def _is_code(symbol: ELF.Symbol) -> bool:
    from lief import ELF

    kinds = (ELF.Symbol.TYPE.FUNC, ELF.Symbol.TYPE.GNU_IFUNC, ELF.Symbol.TYPE.NOTYPE)
    return bool(symbol.name and symbol.value and symbol.shndx and symbol.type in kinds)
