"""The program formats that the administrator has registered with the kernel: binfmt_misc.

A registered handler precedes the kernel's own formats (``fs/binfmt_misc.c`` inserts itself first), so the kernel starts
any file that matches a handler. The kernel's ``Documentation/admin-guide/binfmt-misc.rst`` describes the files that
this module reads.
"""

# pathlib is not used: it changes paths ("./a" becomes "a"), and is slow to import.

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

DIRECTORY = "/proc/sys/fs/binfmt_misc"


class Handler(NamedTuple):
    """One enabled handler: a pattern for files, and the program that runs these files.

    A handler with an ``extension`` (stored without the dot) matches files by this extension. Other handlers match files
    that contain ``magic`` at ``offset`` bytes. Only the bits that are set in ``mask`` are compared; all bits if
    ``mask`` is empty.
    """

    name: str
    interpreter: str
    extension: str | None = None
    offset: int = 0
    magic: bytes = b""
    mask: bytes = b""

    def takes(self, path: str, start: bytes) -> bool:
        """Whether the kernel passes the file at ``path``, which begins with ``start``, to this handler."""
        if self.extension is not None:
            # The kernel looks for the last dot of the whole path, including the directories.
            _, dot, extension = path.rpartition(".")
            return bool(dot) and extension == self.extension
        found = start[self.offset : self.offset + len(self.magic)].ljust(len(self.magic), b"\0")
        mask = self.mask or b"\xff" * len(self.magic)
        return all((have ^ want) & bits == 0 for have, want, bits in zip(found, self.magic, mask, strict=True))


@cache
def handlers() -> tuple[Handler, ...]:
    """The handlers that are enabled at the first call; empty if binfmt_misc is switched off or is not mounted."""
    return read_handlers(DIRECTORY)


def read_handlers(directory: str) -> tuple[Handler, ...]:
    """The enabled handlers in ``directory``, where the binfmt_misc file system is mounted."""
    if _read(f"{directory}/status").strip() != "enabled":
        return ()
    names = [name for name in os.listdir(directory) if name not in ("register", "status")]
    found = (parse_handler(name, _read(f"{directory}/{name}")) for name in sorted(names))
    return tuple(handler for handler in found if handler is not None)


def parse_handler(name: str, text: str) -> Handler | None:
    """The handler that the file ``name`` with the content ``text`` describes; None if the handler is disabled."""
    state, *lines = text.splitlines() or [""]
    if state != "enabled":
        return None
    fields = {key: value for key, _, value in (line.partition(" ") for line in lines)}
    extension = fields.get("extension")
    return Handler(
        name,
        fields.get("interpreter", ""),
        extension.removeprefix(".") if extension is not None else None,
        int(fields.get("offset", "0")),
        bytes.fromhex(fields.get("magic", "")),
        bytes.fromhex(fields.get("mask", "")),
    )


def _read(path: str) -> str:
    """The text of a file; empty if the file does not exist. binfmt_misc may not be mounted, and handlers may
    disappear."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return ""
