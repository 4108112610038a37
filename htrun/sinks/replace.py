"""Replaces existing outputs, for ``--force``."""

from __future__ import annotations

import fcntl
import os
import shutil
from typing import TYPE_CHECKING

from htrun.errors import HtrunError

if TYPE_CHECKING:
    from pathlib import Path


def make_way(path: Path) -> None:
    """Remove the file or the trace at ``path``, so that a new output can be written there. Devices and pipes are kept.
    Raises `HtrunError` for any other directory, and for a trace that is still being written."""
    if path.is_symlink():
        # Links are kept. /dev/stdout leads to a device; if a link leads to a file, the file is emptied when it is
        # opened.
        return
    try:
        if path.is_file():
            path.unlink()
        elif path.is_dir() and any(path.iterdir()):
            _remove_trace(path)
    except OSError as error:
        raise HtrunError(f"cannot replace {path}: {error.strerror}") from error


def _remove_trace(path: Path) -> None:
    if not (path / "metadata").is_file():
        raise HtrunError(f"cannot replace {path}: it is not a trace; give another path, or remove it")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HtrunError(f"cannot replace {path}: htrun is still writing this trace") from None
    finally:
        os.close(descriptor)
    shutil.rmtree(path)
