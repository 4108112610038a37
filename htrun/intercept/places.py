"""Where a piece of code in a tracee comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The mapping that holds an instruction: its addresses ``[start, end)`` and its file.

    ``file``: empty for generated code, that is anonymous memory, or memory the tracee itself can write; ``offset``: bytes
    into the file at which the mapping starts; ``shared``: whether a write to it would reach other processes, or the file.
    """

    start: int
    end: int
    file: str
    offset: int
    shared: bool


def place_of(tid: int, address: int) -> Place:
    """The mapping at ``address``; an empty one when the thread is gone."""
    for start, end, line in _maps(tid):
        if start <= address < end:
            _span, permissions, offset, _device, inode, *name = line.split(None, 5)
            fixed = name and int(inode) and "w" not in permissions
            shared = permissions.endswith("s")
            return Place(start, end, name[0].rstrip("\n") if fixed else "", int(offset, 16), shared)
    return Place(address, address, "", 0, shared=False)


def is_emulator(tid: int) -> bool:
    """Whether a thread runs QEMU, whose generated code is known: nothing in it is rewritten but the displacements of
    direct branches."""
    try:
        return "qemu-" in os.path.basename(os.readlink(f"/proc/{tid}/exe"))
    except OSError:
        return False


def mapped_ranges(tid: int) -> list[tuple[int, int]]:
    """The address ranges ``[start, end)`` that are mapped, in order; none when the thread is gone."""
    return [(start, end) for start, end, _line in _maps(tid)]


def _maps(tid: int) -> Iterator[tuple[int, int, str]]:
    """The lines of /proc/TID/maps (proc_pid_maps(5)), with the addresses they begin with."""
    try:
        with open(f"/proc/{tid}/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                start, end = (int(part, 16) for part in line.split(" ", 1)[0].split("-"))
                yield start, end, line
    except OSError:
        return
