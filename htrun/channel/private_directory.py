"""A run's own directory for its channel, which is used if the user gives no path. This module also removes the
directories of killed runs.

Every process that uses such a directory holds a shared lock on it (flock(2)). The lock is released when the last
process that inherited it exits for any reason. The lock also works from other process id namespaces, in which the link
in the directory is dangling.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

from htrun.errors import HtrunError

_NAME = re.compile(r"htrun-\d+-[0-9a-f]{12}")
_CHANNEL = "channel"


class PrivateDirectory:
    """A directory that exists until `remove`. Only this user can enter it, until `let_others_enter` is called."""

    def __init__(self) -> None:
        """Creates the directory. Raises `HtrunError` if this fails."""
        # The module tempfile is not used, since its import would add 5 ms to the start-up.
        places = (os.environ.get(name) for name in ("XDG_RUNTIME_DIR", "TMPDIR"))
        parent = Path(next((place for place in places if place and os.access(place, os.W_OK | os.X_OK)), "/tmp"))
        try:
            guard = None
            while guard is None:
                self._path = parent / f"htrun-{os.getpid()}-{os.urandom(6).hex()}"
                self._path.mkdir(0o700)
                guard = _locked(self._path)
            self._guard = guard
        except OSError as error:
            raise HtrunError(f"cannot make a directory for the channel in {parent}: {error.strerror}") from error

    @property
    def channel(self) -> Path:
        """The path for the channel."""
        return self._path / _CHANNEL

    def let_others_enter(self) -> None:
        """Let other users open the files whose names they know. Raises OSError."""
        self._path.chmod(0o711)

    def remove(self) -> None:
        """Remove the directory, which must be empty."""
        with suppress(OSError):
            self._path.rmdir()

    def clear_left_behind(self) -> None:
        """Remove the directories next to this one that belong to runs of this user that were killed by SIGKILL. Never
        fails."""
        with suppress(OSError), os.scandir(self._path.parent) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    with suppress(OSError):
                        _clear(Path(entry.path))


def _locked(directory: Path) -> int | None:
    """A descriptor of the new ``directory`` with this run's lock on it; None if the directory is gone.

    Until the directory is locked, another run can mistake it for a leftover and remove it.
    """
    try:
        guard = _opened(directory)
    except FileNotFoundError:
        return None
    fcntl.flock(guard, fcntl.LOCK_SH)
    if directory.exists():
        return guard
    os.close(guard)
    return None


def _clear(directory: Path) -> None:
    """Remove a directory and its channel. Raises OSError if a process uses the directory, or is about to use it."""
    guard = _opened(directory)
    try:
        if os.fstat(guard).st_uid != os.geteuid():
            return
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # There is no channel if the run was killed before it published its channel, or just after it removed the
        # channel.
        with suppress(FileNotFoundError):
            os.unlink(_CHANNEL, dir_fd=guard)
        directory.rmdir()
    finally:
        os.close(guard)


def _opened(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
