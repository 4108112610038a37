"""Packs the first file system of a machine: a cpio archive of the "newc" kind.

The kernel describes the format in ``Documentation/driver-api/early-userspace/buffer-format.rst``.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping

_TRAILER = "TRAILER!!!"
_CONSOLE = (5, 1)
"""The device number of ``/dev/console``. The kernel opens it for the first process before anything is mounted."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of ``files``: the contents of the files by path, without a leading slash. All files are
    executable."""
    directories = {"dev"}
    for path in files:
        parts = path.split("/")[:-1]
        directories |= {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
    entries = [_entry(path, stat.S_IFDIR | 0o755) for path in sorted(directories)]
    entries.append(_entry("dev/console", stat.S_IFCHR | 0o600, device=_CONSOLE))
    entries += [_entry(path, stat.S_IFREG | 0o755, content) for path, content in files.items()]
    entries.append(_entry(_TRAILER, 0))
    return b"".join(entries)


def _entry(path: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    name = path.encode() + b"\0"
    inode = owner = group = time = major = minor = check = 0
    fields = [inode, mode, owner, group, 1, time, len(content), major, minor, *device, len(name), check]
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
