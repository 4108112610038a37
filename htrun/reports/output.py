"""Prints the output that the user requested."""

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
    """The reader of standard output, such as ``| head``, has closed the pipe. The program exits silently, as if killed
    by SIGPIPE."""

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
    """Print ``text`` on standard output. Raises `HtrunError` if writing fails, also if the reader has closed the
    pipe."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python would try to write the rest when it exits, and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise HtrunError(f"cannot write to standard output: {error.strerror}") from error


def warn(message: str) -> None:
    """Print a warning as one line on standard error."""
    print(f"hypertrace: warning: {message}", file=sys.stderr)


def write_or_show(target: str, content: str) -> None:
    """Write ``content`` to the file ``target``, or to standard output if ``target`` is ``-``. Raises `HtrunError`."""
    if target == "-":
        show(content)
        return
    try:
        Path(target).write_text(content, encoding="utf-8", errors="replace")
    except OSError as error:
        raise HtrunError(f"cannot write {target}: {error.strerror}") from error


def stream_out(pieces: Iterable[bytes]) -> None:
    """Print each of ``pieces`` on standard output as soon as it is available. Raises `HtrunError` if writing fails,
    `ReaderGone` if the reader has closed the pipe."""
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(sys.stdout.fileno(), rest) :]
            except BrokenPipeError:
                raise ReaderGone from None
            except OSError as error:
                raise HtrunError(f"cannot write to standard output: {error.strerror}") from error
