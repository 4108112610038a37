"""Stores names of code in the user's cache directory, in a small file for each program or library."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress

_MOST_FILES = 256
_MOST_BYTES = 1 << 20
_Names = dict[int, str | None]


class SymbolCache:
    """The cache files in ``directory``. If there is no directory, or if it is not writable, nothing is stored."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> SymbolCache:
        """The cache of the user with this ``environment`` (XDG Base Directory Specification)."""
        home = environment.get("HOME", "")
        base = environment.get("XDG_CACHE_HOME", "") or (os.path.join(home, ".cache") if home else "")
        return cls(os.path.join(base, "htrun", "symbols") if os.path.isabs(base) else None)

    def load(self, file: str) -> _Names:
        """The known names in the current version of ``file``, by offset (bytes)."""
        path = self._path(file)
        if path is None:
            return {}
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(descriptor, encoding="ascii") as stream:
                if os.fstat(descriptor).st_uid != os.geteuid():
                    return {}
                found = json.loads(stream.read(_MOST_BYTES))
            return {int(offset): name for offset, name in found.items() if name is None or isinstance(name, str)}
        except (OSError, ValueError, AttributeError):
            # The cache file does not exist, or is damaged.
            return {}

    def store(self, file: str, names: _Names) -> None:
        """Store ``names`` for the next run. If this fails, the next run looks the names up again."""
        path, text = self._path(file), json.dumps(names)
        if path is None or self._directory is None or len(text) > _MOST_BYTES:
            return
        new = f"{path}.{os.getpid()}"
        with suppress(OSError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            if os.stat(self._directory).st_uid != os.geteuid():
                # sudo may keep the user's HOME. Root must not leave files there that belong to root.
                return
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "w", encoding="ascii") as stream:
                    stream.write(text)
                os.rename(new, path)
            except OSError:
                os.unlink(new)
                raise
            self._remove_oldest(self._directory)

    def _path(self, file: str) -> str | None:
        """The path of the cache file for the current version of ``file``; None if ``file`` does not exist."""
        if self._directory is None:
            return None
        try:
            status = os.stat(file)
        except (OSError, ValueError):
            return None
        stamp = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        key = hashlib.sha256(f"{file}\0{stamp}".encode(errors="surrogateescape")).hexdigest()
        return os.path.join(self._directory, key)

    @staticmethod
    def _remove_oldest(directory: str) -> None:
        with os.scandir(directory) as entries:
            ages = sorted((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in entries)
        for _, path in ages[:-_MOST_FILES]:
            os.unlink(path)
