"""Finds configuration files. If there are none, a run does not import the modules that read them, but it always imports
this module. So the import must cost almost nothing."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT_FILE = "htrun.toml"
_USER_FILE = ("htrun", "config.toml")


class ConfigFile(NamedTuple):
    """A configuration file that exists.

    ``of_project``: whether the file is in the current directory or in one of its parents. Its author may then be a
    stranger.
    """

    path: str
    of_project: bool


class Found(NamedTuple):
    """The result of the search. ``files``: the files to read; earlier files take precedence.

    ``remark``: a warning that a file is not read; None if all files are read.
    """

    files: tuple[ConfigFile, ...]
    remark: str | None = None


def config_files(environment: Mapping[str, str]) -> Found:
    """The project's file and the user's file. The project's file is htrun.toml in the current directory, or in the
    nearest parent directory that has this file."""
    found, remark = [], None
    project = _nearest()
    if project is not None:
        owner = os.stat(project).st_uid
        # A file of another user is not read, because anyone may put a file into /tmp. git makes the same check.
        if owner in {0, os.geteuid()}:
            found.append(ConfigFile(project, of_project=True))
        else:
            remark = f"{project} is ignored: it belongs to another user (id {owner})"
    user = _of_user(environment)
    if user is not None and _is_file(user):
        found.append(ConfigFile(user, of_project=False))
    return Found(tuple(found), remark)


def _nearest() -> str | None:
    try:
        directory = os.getcwd()
    except FileNotFoundError:
        # The working directory has been removed.
        return None
    while True:
        path = os.path.join(directory, PROJECT_FILE)
        if _is_file(path):
            return path
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def _of_user(environment: Mapping[str, str]) -> str | None:
    """The path of the user's file. A relative XDG_CONFIG_HOME is ignored (XDG Base Directory Specification)."""
    base = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):
        home = environment.get("HOME", "")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".config")
    return os.path.join(base, *_USER_FILE)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
