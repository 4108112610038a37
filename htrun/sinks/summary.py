"""The summary of a run: one JSON object in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htrun.errors import HtrunError
from htrun.events.sink import SinkError
from htrun.sinks.output import Output

if TYPE_CHECKING:
    from collections.abc import Mapping


def check(path: Path) -> None:
    """Raise `HtrunError` if a summary cannot be written to ``path``. Called before the program is started."""
    if path.is_dir():
        raise HtrunError(f"cannot write {path}: Is a directory")
    try:
        path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise HtrunError(f"cannot write {path}: No such file or directory") from None
        target = path.parent
    except OSError as error:
        raise HtrunError(f"cannot write {path}: {error.strerror}") from error
    else:
        target = path if not _replaceable(path) else path.parent
    if not os.access(target, os.W_OK):
        raise HtrunError(f"cannot write {path}: Permission denied")


def write(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write ``mapping`` to ``path``; a reader sees the old file or the whole new one. Raises `HtrunError`."""
    # Imported here, since most runs write no summary.
    import json

    text = json.dumps(mapping, indent=2) + "\n"
    if not _replaceable(path):
        _write_through(path, text.encode())
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HtrunError(f"cannot write {path}: {error.strerror}") from error


def _replaceable(path: Path) -> bool:
    """Whether another file may replace ``path``: not if it is a link, a pipe or a device (/dev/stdout)."""
    return not path.is_symlink() and (path.is_file() or not path.exists())


def _write_through(path: Path, data: bytes) -> None:
    output = Output.open(path)
    try:
        output.write(data)
        output.close()
    except SinkError as error:
        raise HtrunError(str(error)) from error
