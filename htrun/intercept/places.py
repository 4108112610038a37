"""Finds the mapping and the file of a piece of code in a tracee."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Place(NamedTuple):
    """The mapping that contains an instruction: its addresses ``[start, end)`` and its file.

    ``file``: the path. It is empty for generated code, which is code in anonymous memory or in memory that the tracee
    can write. ``offset``: the offset of the mapping in the file (bytes). ``shared``: whether a write to the mapping
    would change the file, or the memory of other processes.
    """

    start: int
    end: int
    file: str
    offset: int
    shared: bool

    def offset_of(self, address: int) -> int:
        """The file offset of the byte at ``address``."""
        return address - self.start + self.offset


def place_of(tid: int, address: int) -> Place:
    """The mapping at ``address``; an empty mapping if the thread is gone."""
    for start, end, line in _maps(tid):
        if start <= address < end:
            _span, permissions, offset, _device, inode, *name = line.split(None, 5)
            fixed = name and int(inode) and "w" not in permissions
            shared = permissions.endswith("s")
            return Place(start, end, name[0].rstrip("\n") if fixed else "", int(offset, 16), shared)
    return Place(address, address, "", 0, shared=False)


class Code(Protocol):
    """The known facts about the code of an address space. The attributes are set by this module."""

    emulator: bool | None
    """Whether QEMU runs there; None if this is unknown yet."""
    translated: Place | None
    """The latest mapping with code that QEMU has generated; None if there is none yet. QEMU never unmaps it."""


class PlaceFinder:
    """Finds the mappings of many addresses. If a program has thousands of mappings and the addresses lie in the same
    mapping, this is faster than `place_of`."""

    def __init__(self) -> None:
        self._code: Code | None = None
        self._last = Place(0, 0, "", 0, shared=False)

    def find(self, code: Code, tid: int, address: int) -> Place:
        """The mapping at ``address`` in the address space of thread ``tid``, about which ``code`` is known."""
        last = self._last
        if self._code is not code or not last.start <= address < last.end or not _is_there(tid, last):
            place = place_in(code, tid, address)
            if place is code.translated:
                return place
            self._code, self._last = code, place
        return self._last


def place_in(code: Code, tid: int, address: int) -> Place:
    """Like `place_of`, for thread ``tid`` of the address space about which ``code`` is known. The memory map is not
    read again for code that QEMU has generated."""
    known = code.translated
    if known is not None and known.start <= address < known.end:
        return known
    place = place_of(tid, address)
    if not place.file and place.start < place.end and runs_emulator(code, tid):
        code.translated = place
    return place


def runs_emulator(code: Code, tid: int) -> bool:
    """Whether thread ``tid`` of the address space about which ``code`` is known runs QEMU. QEMU generates code, and
    later rewrites only the displacements of direct branches."""
    if code.emulator is None:
        code.emulator = is_emulator(tid)
    return code.emulator


def _is_there(tid: int, place: Place) -> bool:
    """Whether the file of ``place`` is still mapped at exactly these addresses and is not writable
    (proc_pid_map_files(5))."""
    try:
        return not os.lstat(f"/proc/{tid}/map_files/{place.start:x}-{place.end:x}").st_mode & 0o200
    except OSError:
        return False


def is_emulator(tid: int) -> bool:
    """Whether thread ``tid`` runs QEMU."""
    try:
        return "qemu-" in os.path.basename(os.readlink(f"/proc/{tid}/exe"))
    except OSError:
        return False


def mapped_ranges(tid: int) -> list[tuple[int, int]]:
    """The address ranges ``[start, end)`` that are mapped, in order; empty if the thread is gone."""
    return [(start, end) for start, end, _line in _maps(tid)]


def _maps(tid: int) -> Iterator[tuple[int, int, str]]:
    """The lines of /proc/TID/maps (proc_pid_maps(5)), each as ``(start, end, line)``."""
    try:
        with open(f"/proc/{tid}/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                start, end = (int(part, 16) for part in line.split(" ", 1)[0].split("-"))
                yield start, end, line
    except OSError:
        return
