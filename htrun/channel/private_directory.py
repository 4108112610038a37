"""A run's own directory for its channel, where the user names no path, and what killed runs have left of theirs.

Whoever uses such a directory holds a shared lock on it (flock(2)). It ends with the last process that inherited it,
however that dies, and it is seen in other process id namespaces, where the link in the directory leads nowhere.
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
    """A directory that only this user can enter, unless `let_others_enter`, until `remove`."""

    def __init__(self) -> None:
        """Raises `HtrunError` where none can be made."""
        # Not by tempfile, which takes 5 ms of the start-up to import.
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
        """Let other users open what they know the name of. Raises OSError."""
        self._path.chmod(0o711)

    def remove(self) -> None:
        """Remove the directory, which must be empty by now."""
        with suppress(OSError):
            self._path.rmdir()

    def clear_left_behind(self) -> None:
        """Remove beside it what runs of this user have left that were killed by SIGKILL. Never fails."""
        with suppress(OSError), os.scandir(self._path.parent) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    with suppress(OSError):
                        _clear(Path(entry.path))


def _locked(directory: Path) -> int | None:
    """A descriptor of a new ``directory`` with this run's lock on it; None if it is gone: until it is locked, another
    run takes it for one left behind, and may remove it."""
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
    """Remove a directory and its channel. Raises OSError if somebody uses it, or is about to."""
    guard = _opened(directory)
    try:
        if os.fstat(guard).st_uid != os.geteuid():
            return
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # One that was killed before it published its channel, or just after it took it away, has left none.
        with suppress(FileNotFoundError):
            os.unlink(_CHANNEL, dir_fd=guard)
        directory.rmdir()
    finally:
        os.close(guard)


def _opened(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
