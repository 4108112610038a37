"""The functions that an ELF file's symbol tables name (elf(5)), and how the file's bytes are loaded."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

_MAGIC, _IDENT = b"\x7fELF", 16
_PT_LOAD = 1
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_STT_NOTYPE, _STT_FUNC, _STT_GNU_IFUNC = 0, 2, 10
_MOST_NAME = 4096
"""Bytes of a name that are read: generated ones are long."""

_HEADER = {
    32: [("entry", "u4"), ("phoff", "u4"), ("shoff", "u4")],
    64: [("entry", "u8"), ("phoff", "u8"), ("shoff", "u8")],
}
_SIZES = [
    ("flags", "u4"), ("ehsize", "u2"), ("phentsize", "u2"), ("phnum", "u2"), ("shentsize", "u2"), ("shnum", "u2"),
    ("shstrndx", "u2"),
]  # fmt: skip
_SEGMENT = {
    32: [(name, "u4") for name in ("type", "offset", "vaddr", "paddr", "filesz", "memsz", "flags", "align")],
    64: [("type", "u4"), ("flags", "u4")]
    + [(name, "u8") for name in ("offset", "vaddr", "paddr", "filesz", "memsz", "align")],
}
_SECTION_NAMES = ("flags", "addr", "offset", "size", "link", "info", "addralign", "entsize")
_SECTION = {
    32: [("name", "u4"), ("type", "u4")] + [(name, "u4") for name in _SECTION_NAMES],
    64: [("name", "u4"), ("type", "u4")]
    + [(name, "u4" if name in ("link", "info") else "u8") for name in _SECTION_NAMES],
}
_SYMBOL = {
    32: [("name", "u4"), ("value", "u4"), ("size", "u4"), ("info", "u1"), ("other", "u1"), ("shndx", "u2")],
    64: [("name", "u4"), ("info", "u1"), ("other", "u1"), ("shndx", "u2"), ("value", "u8"), ("size", "u8")],
}


@dataclass(frozen=True)
class Function:
    """``address``: as the file has it; ``size``: bytes, 0 if it is not known."""

    name: str
    address: int
    size: int


class SymbolTable:
    """A file's functions. One that is no ELF file, or damaged, has none."""

    def __init__(self, path: str) -> None:
        self._segments: Sequence[tuple[int, int, int]] = ()
        self._tables: list[tuple[NDArray[np.void], bytes]] = []
        try:
            data = _content(path)
            self._segments, self._tables = _parse(data)
        except (OSError, ValueError):
            # It is not there any more, or its numbers lead outside it.
            return

    def address_of(self, offset: int) -> int | None:
        """The address to which byte ``offset`` of the file is loaded; None if no segment holds it."""
        spans = (address + offset - first for first, address, size in self._segments if first <= offset < first + size)
        return next(spans, None)

    def offset_of(self, address: int) -> int | None:
        """The byte of the file that is loaded to ``address``; None if none is."""
        spans = (first + address - start for first, start, size in self._segments if start <= address < start + size)
        return next(spans, None)

    def function_at(self, address: int) -> Function | None:
        """The function that begins at ``address``, or else the last one before. Of several that begin at one address
        the one with the greatest size is told: rather a function than a label."""
        import numpy as np

        starts, sizes = self._functions["value"], self._functions["size"]
        last = int(np.searchsorted(starts, np.uint64(address), side="right")) - 1
        if last < 0:
            return None
        same = range(int(np.searchsorted(starts, starts[last])), last + 1)
        best = max(int(sizes[row]) for row in same)
        name = max(self._name(row) for row in same if sizes[row] == best)
        return Function(name, int(starts[last]), best)

    def function_named(self, name: str) -> Function | None:
        """A function by its name."""
        for row in range(len(self._functions)):
            if self._name(row) == name:
                return Function(name, int(self._functions["value"][row]), int(self._functions["size"][row]))
        return None

    @cached_property
    def _functions(self) -> NDArray[np.void]:
        """All functions by address; ``table``: the place in `_tables`, whose strings have the ``name``."""
        import numpy as np

        fields = [("value", "u8"), ("size", "u8"), ("name", "u4"), ("table", "u4")]
        found = [np.empty(0, fields)]
        for number, (symbols, strings) in enumerate(self._tables):
            code = symbols[_are_code(symbols, len(strings))]
            functions = np.empty(len(code), fields)
            functions["table"] = number
            for field in ("value", "size", "name"):
                functions[field] = code[field]
            found.append(functions)
        functions = np.concatenate(found)
        return functions[np.argsort(functions["value"], kind="stable")]

    def _name(self, row: int) -> str:
        function = self._functions[row]
        strings, start = self._tables[int(function["table"])][1], int(function["name"])
        end = strings.find(b"\0", start, start + _MOST_NAME)
        return strings[start : end if end >= 0 else start + _MOST_NAME].decode(errors="replace")


def _content(path: str) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        # An empty file can't be mapped: ValueError.
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def _parse(data: mmap.mmap) -> tuple[Sequence[tuple[int, int, int]], list[tuple[NDArray[np.void], bytes]]]:
    """Segments that are loaded (offset, address, size in the file), and symbol tables with their strings. Raises
    ValueError."""
    if data[:4] != _MAGIC or len(data) <= _IDENT:
        raise ValueError("no ELF file")
    bits, order = {1: 32, 2: 64}.get(data[4], 0), {1: "<", 2: ">"}.get(data[5], "")
    if not bits or not order:
        raise ValueError("an unknown class of ELF file")
    start = [("type", "u2"), ("machine", "u2"), ("version", "u4")]
    header = _rows(data, order, [*start, *_HEADER[bits], *_SIZES], _IDENT, 1)[0]
    segments = _rows(data, order, _SEGMENT[bits], int(header["phoff"]), int(header["phnum"]))
    sections = _rows(data, order, _SECTION[bits], int(header["shoff"]), int(header["shnum"]))
    loaded = segments[segments["type"] == _PT_LOAD]
    spans = list(zip(*(loaded[field].tolist() for field in ("offset", "vaddr", "filesz")), strict=True))
    return spans, list(_tables(data, order, _SYMBOL[bits], sections))


def _tables(
    data: mmap.mmap, order: str, symbol: Sequence[tuple[str, str]], sections: NDArray[np.void]
) -> Iterator[tuple[NDArray[np.void], bytes]]:
    for section in sections:
        if section["type"] not in (_SHT_SYMTAB, _SHT_DYNSYM) or section["link"] >= len(sections):
            continue
        names = sections[section["link"]]
        strings = data[int(names["offset"]) : int(names["offset"]) + int(names["size"])]
        yield _rows(data, order, symbol, int(section["offset"]), int(section["size"]) // _size(symbol)), strings


def _size(fields: Sequence[tuple[str, str]]) -> int:
    return sum(int(code[1]) for _, code in fields)


def _rows(data: mmap.mmap, order: str, fields: Sequence[tuple[str, str]], offset: int, count: int) -> NDArray[np.void]:
    """``count`` structures at ``offset``. Raises ValueError where the file has not so many."""
    import numpy as np

    dtype: np.dtype[Any] = np.dtype([(name, order + code) for name, code in fields])
    if offset + count * dtype.itemsize > len(data):
        raise ValueError("it ends too early")
    return np.frombuffer(data[offset : offset + count * dtype.itemsize], dtype)


def _are_code(symbols: NDArray[np.void], strings: int) -> NDArray[np.bool_]:
    import numpy as np

    kinds = np.isin(symbols["info"] & 0xF, (_STT_NOTYPE, _STT_FUNC, _STT_GNU_IFUNC))
    named = (symbols["name"] > 0) & (symbols["name"] < strings)
    defined: NDArray[np.bool_] = (symbols["value"] != 0) & (symbols["shndx"] != 0)
    return kinds & named & defined
