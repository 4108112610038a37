"""Files that commands read. ``-`` stands for standard input."""

from __future__ import annotations

from pathlib import Path

from htrun.errors import HtrunError

_STANDARD_INPUT = Path("/dev/stdin")


def input_path(text: str) -> Path:
    """The file that ``text`` names on a command line. It can be read only once."""
    return _STANDARD_INPUT if text == "-" else Path(text)


def events_of_program(text: str) -> Path:
    """The file of ``--events``, for a command that runs a program. Raises `HtrunError` for standard input."""
    if text == "-":
        raise HtrunError("--events -: standard input belongs to the program; give a file")
    return Path(text)
