"""Searches for a program in the directories of PATH, as ``execvp`` in the GNU C library does."""

# pathlib is not used: it changes paths ("./a" becomes "a"), and is slow to import.

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from htrun.launch.files import HERE

_DEFAULT_PATH = "/bin:/usr/bin"
"""The directories that glibc searches if there is no PATH (``confstr(_CS_PATH)``)."""


def candidates(name: str, environment: Mapping[str, str]) -> Iterator[str]:
    """The paths to try for ``name``: the name itself if it contains a slash, otherwise one path for each directory of
    PATH.

    An empty directory in PATH is the working directory. An empty name has no candidates.
    """
    if "/" in name:
        yield name
    if not name or "/" in name:
        return
    for directory in environment.get("PATH", _DEFAULT_PATH).split(":"):
        yield f"{directory}/{name}" if directory else name


def find_executable(name: str, environment: Mapping[str, str]) -> str | None:
    """The absolute path of the first candidate that may be executed; None if there is none."""
    return next((os.path.abspath(path) for path in candidates(name, environment) if HERE.is_executable(path)), None)
