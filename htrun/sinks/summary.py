"""The summary of a run: one JSON object in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htrun.errors import HtrunError
from htrun.events.sink import SinkError
from htrun.sinks.output import Output, own_descriptor

if TYPE_CHECKING:
    from collections.abc import Mapping


class SummaryFile:
    """The file to which the summary is written.

    A pipe, a device or ``/dev/stdout`` is opened immediately, because the tracer's own standard output is closed when
    the run is over.
    """

    def __init__(self, path: Path) -> None:
        """``path``: the path of the file. Raises `HtrunError` if a summary cannot be written to it."""
        self.path = path
        _check(path)
        opened_now = own_descriptor(path) is not None or (path.exists() and not path.is_file())
        self._output = Output.open(path) if opened_now else None

    def write(self, mapping: Mapping[str, Any]) -> None:
        """Write ``mapping``. A reader of the file sees either the old content or the whole new content. Raises
        `HtrunError`."""
        # Imported here, since most runs write no summary.
        import json

        text = json.dumps(mapping, indent=2) + "\n"
        if self._output is None and _replaceable(self.path):
            _replace(self.path, text)
        else:
            _write_through(self._output or Output.open(self.path), text.encode())


def _check(path: Path) -> None:
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
        target = path if path.exists() and not _replaceable(path) else path.resolve().parent
    if not os.access(target, os.W_OK):
        raise HtrunError(f"cannot write {path}: Permission denied")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HtrunError(f"cannot write {path}: {error.strerror}") from error


def _replaceable(path: Path) -> bool:
    """Whether another file may replace ``path``. A link, a pipe or a device (/dev/stdout) must not be replaced."""
    return not path.is_symlink() and (path.is_file() or not path.exists())


def _write_through(output: Output, data: bytes) -> None:
    try:
        output.write(data)
        output.close()
    except SinkError as error:
        raise HtrunError(str(error)) from error
