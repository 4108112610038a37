"""A second memory of the channel, for processes that can't follow a link into htrun's ``/proc``: those of other users,
or with another ``/proc``.

It is a regular file, which takes the link's place. Such a file can be cut short by anybody who can write it, and a
memory that was mapped of it is then a SIGBUS. So htrun never maps it.
"""

from __future__ import annotations

import os
from pathlib import Path

from htrun.channel.layout import Layout

_OWNER_ONLY, _EVERYBODY = 0o600, 0o666


class PublicFile:
    """The file at ``path``, from now on. ``descriptor``: open for reading and writing; close-on-exec."""

    def __init__(self, path: Path, layout: Layout) -> None:
        """Takes the place of what is at ``path``, at once. Raises OSError."""
        self._owner: int | None = None
        self._path = path
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self.descriptor = os.open(temporary, flags, _OWNER_ONLY)
        try:
            # Blocks must exist now: a store to a page of a sparse file on a full disk is a SIGBUS in the guest.
            os.posix_fallocate(self.descriptor, 0, layout.total_size)
            self.write(0, layout.header())
            temporary.replace(path)
        except OSError:
            os.close(self.descriptor)
            temporary.unlink(missing_ok=True)
            raise

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset``; zeros where the file has been cut short."""
        return os.pread(self.descriptor, size, offset).ljust(size, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``. Raises OSError."""
        os.pwrite(self.descriptor, data, offset)

    def give_to(self, user: int) -> None:
        """Let ``user`` open the file: the first for whom that is asked owns it, for a second it is everybody's. Raises
        OSError."""
        if self._owner in (None, user):
            os.fchown(self.descriptor, user, -1)
            self._owner = user
        else:
            os.fchmod(self.descriptor, _EVERYBODY)
