"""Printing the output that a user asked for."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Iterable


class ReaderGone(Exception):
    """The reader of standard output has closed it (``| head``). The program exits silently, as if killed by SIGPIPE."""

    exit_code = 141
    """The exit status that a shell reports for a program killed by SIGPIPE."""


def _as_well_as_possible(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces text that the encoding of standard output cannot represent. A path's undecodable bytes are written
    unchanged, so that the printed path can be opened; any other character is written as a Python escape sequence."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    try:
        return codecs.lookup_error("surrogateescape")(one)
    except UnicodeEncodeError:
        return codecs.lookup_error("backslashreplace")(one)


_ERRORS = "htrun-as-well-as-possible"
codecs.register_error(_ERRORS, _as_well_as_possible)


def show(text: str) -> None:
    """Print ``text`` on standard output. Raises `HtrunError` if writing fails, `ReaderGone` if nobody reads it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python would try again to write the rest when it exits, and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise HtrunError(f"cannot write to standard output: {error.strerror}") from error


def warn(message: str) -> None:
    """Print one line with a warning on standard error; the work goes on."""
    print(f"hypertrace: warning: {message}", file=sys.stderr)


def write_or_show(target: str, content: str) -> None:
    """Write ``content`` to the file ``target``, or print it if that is ``-``. Raises `HtrunError`."""
    if target == "-":
        show(content)
        return
    try:
        Path(target).write_text(content, encoding="utf-8", errors="replace")
    except OSError as error:
        raise HtrunError(f"cannot write {target}: {error.strerror}") from error


def stream_out(pieces: Iterable[bytes]) -> None:
    """Print ``pieces`` on standard output as they come. Raises `HtrunError` if writing fails, `ReaderGone` if nobody
    reads it."""
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(sys.stdout.fileno(), rest) :]
            except BrokenPipeError:
                raise ReaderGone from None
            except OSError as error:
                raise HtrunError(f"cannot write to standard output: {error.strerror}") from error
