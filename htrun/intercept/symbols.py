"""Finds names of code in the symbol tables of files.

To import lief takes 0.5 s, so a run uses this module in a separate process (`htrun.intercept.symbol_helper`).
"""

from __future__ import annotations

import bisect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from htrun.intercept.places import Place

if TYPE_CHECKING:
    from lief import ELF

GENERATED = "generated code"


def function_at(path: str, offset: int) -> str | None:
    """The function that contains byte ``offset`` of a file, and the distance from the function's start, as
    ``function+0x12``. None if there is no such function, or if the file is not an ELF file."""
    return _table(path).name_of(offset)


def symbol_of(place: Place, address: int, find: Callable[[str, int], str | None] = function_at) -> str:
    """The result of ``find`` for ``address``, which lies in ``place``. If ``find`` returns None, the name of the file
    and the offset. If there is no file, `GENERATED`."""
    if not place.file:
        return GENERATED
    offset = place.offset_of(address)
    return find(place.file, offset) or f"{PurePath(place.file).name}+{offset:#x}"


@dataclass(frozen=True, slots=True)
class _Table:
    """The functions of a file, and the addresses to which the bytes of the file are loaded.

    ``segments``: ``(file offset, virtual address, bytes)``. ``starts``: the start addresses of the functions, sorted.
    ``functions``: the name and the size of each function; size 0 means that the size is unknown.
    """

    segments: Sequence[tuple[int, int, int]]
    starts: Sequence[int]
    functions: Sequence[tuple[str, int]]

    def name_of(self, offset: int) -> str | None:
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
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_notes = config.parse_overlay = config.parse_symbol_versions = False
    # The result is None if the file is not an ELF file, or no longer exists.
    binary = lief.ELF.parse(path, config)
    # lief warns about symbol types that it does not know.
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        return _Table((), (), ()) if binary is None else _read(binary)


def _read(binary: ELF.Binary) -> _Table:
    from lief import ELF

    segments = [
        (segment.file_offset, segment.virtual_address, segment.physical_size)
        for segment in binary.segments
        if segment.type == ELF.Segment.TYPE.LOAD
    ]
    # If there are several symbols at the same address, the largest is used: it is a function rather than a label.
    functions = sorted((symbol.value, symbol.size, str(symbol.name)) for symbol in binary.symbols if _is_code(symbol))
    by_address = {value: (name, size) for value, size, name in functions}
    return _Table(segments, list(by_address), list(by_address.values()))


def _is_code(symbol: ELF.Symbol) -> bool:
    from lief import ELF

    kinds = (ELF.Symbol.TYPE.FUNC, ELF.Symbol.TYPE.GNU_IFUNC, ELF.Symbol.TYPE.NOTYPE)
    return bool(symbol.name and symbol.value and symbol.shndx and symbol.type in kinds)
