"""Names for places in code, from the symbol tables of the files it came from."""

from __future__ import annotations

from functools import cache
from pathlib import PurePath

from htrun.intercept.elf_symbols import SymbolTable
from htrun.intercept.places import Place

GENERATED = "generated code"


def symbol_of(place: Place, address: int) -> str:
    """``function+0x12`` for an ``address`` that lies in ``place``; the file's name and an offset where it has no symbol
    for it, `GENERATED` where there is no file."""
    if not place.file:
        return GENERATED
    offset = address - place.start + place.offset
    return _name_of(_table(place.file), offset) or f"{PurePath(place.file).name}+{offset:#x}"


@cache
def _table(path: str) -> SymbolTable:
    return SymbolTable(path)


def _name_of(table: SymbolTable, offset: int) -> str | None:
    """The function that byte ``offset`` of the file belongs to, and how far it lies in."""
    address = table.address_of(offset)
    function = table.function_at(address) if address is not None else None
    if address is None or function is None or not function.name:
        return None
    within = address - function.address
    return f"{function.name}+{within:#x}" if not function.size or within < function.size else None
