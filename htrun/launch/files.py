"""Access to files from the point of view of the process that executes them."""

# pathlib is not used: it changes paths ("./a" becomes "a"), and is slow to import.

from __future__ import annotations

import errno
import os
import re
import stat
from typing import NamedTuple

START_SIZE = 256
"""The number of bytes that Linux reads from the start of a file to decide how to execute it (``BINPRM_BUF_SIZE``)."""

_OWN_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/dev/(stdin|stdout|stderr)")
_STANDARD = {"stdin": "0", "stdout": "1", "stderr": "2"}


class FileView(NamedTuple):
    """The view that a process has of the file system: this process if ``pid`` is None, or another process, whose paths
    are looked up through ``/proc/PID``.

    ``directory``: the directory, as seen by this process, to which relative paths are relative; None for the working
    directory. If the other process has another root directory, a symbolic link with an absolute target is still looked
    up in the root directory of this process.
    """

    pid: int | None = None
    directory: str | None = None

    def host_path(self, path: str) -> str:
        """The path in this process of the file that the other process sees as ``path``."""
        if not path.startswith("/"):
            directory = self.directory
            if directory is None and self.pid is not None:
                directory = f"/proc/{self.pid}/cwd"
            return path if directory is None else f"{directory}/{path}"
        if self.pid is None:
            return path
        for own in ("/proc/self/", "/proc/thread-self/"):
            if path.startswith(own):
                return f"/proc/{self.pid}/{path.removeprefix(own)}"
        if match := _OWN_DESCRIPTOR.fullmatch(path):
            return f"/proc/{self.pid}/fd/{match[1] or _STANDARD[match[2]]}"
        return f"/proc/{self.pid}/root{path}"

    def is_executable(self, path: str) -> bool:
        """Whether ``path`` is a regular file that may be executed."""
        try:
            self._check_executable(self.host_path(path))
        except OSError:
            return False
        return True

    def read_start(self, path: str) -> bytes | None:
        """The first `START_SIZE` bytes of an executable file; None if the file may be executed but not read.

        Raises the OSError that an ``execve`` of the file would return.
        """
        where = self.host_path(path)
        self._check_executable(where)
        try:
            file = os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except PermissionError:
            return None
        try:
            return os.read(file, START_SIZE)
        finally:
            os.close(file)

    @staticmethod
    def _check_executable(where: str) -> None:
        # The kernel returns EACCES for a directory or a device, as it does for a missing permission or a noexec mount.
        if not stat.S_ISREG(os.stat(where).st_mode) or not os.access(where, os.X_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), where)


HERE = FileView()
"""The file system as this process sees it."""
