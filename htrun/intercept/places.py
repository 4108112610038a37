"""Where a piece of code in a tracee comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The mapping that holds an instruction: its addresses ``[start, end)`` and its file.

    ``file``: empty for generated code, that is anonymous memory, or memory the tracee itself can write; ``offset``: bytes
    into the file at which the mapping starts.
    """

    start: int
    end: int
    file: str
    offset: int


def place_of(tid: int, address: int) -> Place:
    """The mapping at ``address`` (proc_pid_maps(5)); an empty one when the thread is gone."""
    try:
        with open(f"/proc/{tid}/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                span, permissions, offset, _device, inode, *name = line.split(None, 5)
                start, end = (int(part, 16) for part in span.split("-"))
                if start <= address < end:
                    fixed = name and int(inode) and "w" not in permissions
                    return Place(start, end, name[0].rstrip("\n") if fixed else "", int(offset, 16))
    except OSError:
        return Place(address, address, "", 0)
    return Place(address, address, "", 0)
