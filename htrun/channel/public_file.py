"""A second memory of the channel, for processes that can't follow a link into htrun's ``/proc``: processes of other
users, or processes that have another ``/proc``.

The memory is a regular file, which replaces the link. Any process that can write this file can also truncate it, and an
access to a mapping of the truncated part raises SIGBUS. So htrun never maps the file, and the file offers no rings
(`htrun.channel.ring_layout`). Programs that open the file emit their events by stores.
"""

from __future__ import annotations

import os
from pathlib import Path

from htrun.channel.layout import Layout

_OWNER_ONLY, _EVERYBODY = 0o600, 0o666


class PublicFile:
    """The file that is created at ``path``. ``descriptor``: the descriptor of the file, which is open for reading and
    writing, and close-on-exec."""

    def __init__(self, path: Path, layout: Layout) -> None:
        """Create the file. It atomically replaces any file at ``path``. Raises OSError."""
        self._owner: int | None = None
        self._path = path
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self.descriptor = os.open(temporary, flags, _OWNER_ONLY)
        try:
            # Blocks must be allocated now: a store to a page of a sparse file on a full disk raises SIGBUS in the
            # guest.
            os.posix_fallocate(self.descriptor, 0, layout.total_size)
            self.write(0, layout.header())
            temporary.replace(path)
        except OSError:
            os.close(self.descriptor)
            temporary.unlink(missing_ok=True)
            raise

    def read(self, offset: int, size: int) -> bytes:
        """Read ``size`` bytes at ``offset``. If the file has been truncated, the missing bytes are zeros."""
        return os.pread(self.descriptor, size, offset).ljust(size, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data`` at ``offset``. Raises OSError."""
        os.pwrite(self.descriptor, data, offset)

    def give_to(self, user: int) -> None:
        """Let ``user`` open the file.

        The first user becomes the file's owner. For a second user, everybody gets access to the file. Raises OSError.
        """
        if self._owner in (None, user):
            os.fchown(self.descriptor, user, -1)
            self._owner = user
        else:
            os.fchmod(self.descriptor, _EVERYBODY)
