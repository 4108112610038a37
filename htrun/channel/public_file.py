"""A second memory of the channel, for processes that can't follow a link into htrun's ``/proc``: those of other users,
or with another ``/proc``.

It is a regular file, which replaces the link. Any process that can write such a file can truncate it, and an access to
a mapping of the lost part is a SIGBUS. So htrun never maps it, and it offers no rings (`htrun.channel.ring_layout`):
programs that open it store their events.
"""

from __future__ import annotations

import os
from pathlib import Path

from htrun.channel.layout import Layout

_OWNER_ONLY, _EVERYBODY = 0o600, 0o666


class PublicFile:
    """The file at ``path``, from now on. ``descriptor``: open for reading and writing; close-on-exec."""

    def __init__(self, path: Path, layout: Layout) -> None:
        """Atomically replaces what is at ``path``. Raises OSError."""
        self._owner: int | None = None
        self._path = path
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self.descriptor = os.open(temporary, flags, _OWNER_ONLY)
        try:
            # Blocks must be allocated now: a store to a page of a sparse file on a full disk is a SIGBUS in the guest.
            os.posix_fallocate(self.descriptor, 0, layout.total_size)
            self.write(0, layout.header())
            temporary.replace(path)
        except OSError:
            os.close(self.descriptor)
            temporary.unlink(missing_ok=True)
            raise

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset``; zeros where the file has been truncated."""
        return os.pread(self.descriptor, size, offset).ljust(size, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data`` at ``offset``. Raises OSError."""
        os.pwrite(self.descriptor, data, offset)

    def give_to(self, user: int) -> None:
        """Let ``user`` open the file. The first such user becomes its owner; for a second one, the file is opened to
        everybody. Raises OSError."""
        if self._owner in (None, user):
            os.fchown(self.descriptor, user, -1)
            self._owner = user
        else:
            os.fchmod(self.descriptor, _EVERYBODY)
