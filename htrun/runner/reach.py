"""Checks whether the programs of a run can open the channel. The channel's path is a symbolic link to
``/proc/PID/fd/N`` of htrun, which other users, and processes in other namespaces, cannot follow."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from htrun.channel.file import Channel, Identity
from htrun.events.warnings import Kind, Warnings

if TYPE_CHECKING:
    from pathlib import Path

_NAMESPACES = ("user", "pid", "mnt")
"""The kinds of namespaces in which a process may have another ``/proc``, or no access to ``/proc``."""
_SEARCH_BY_OTHERS = 0o001


class Reach:
    """Makes the channel accessible to a program of another user, or in other namespaces, at the start of the
    program."""

    def __init__(self, channel: Channel, warnings: Warnings) -> None:
        self._channel = channel
        self._warnings = warnings
        self._user = os.geteuid()
        self._namespaces = _namespaces_of("self")

    def executed(self, pid: int) -> None:
        """Handle the start of a program by process ``pid``."""
        # Ignore a process that is gone, or that htrun may not inspect. If such a process maps the channel,
        # `MappingCalls` reports the problem.
        with suppress(OSError):
            user = os.stat(f"/proc/{pid}").st_uid
            if user != self._user or _namespaces_of(str(pid)) != self._namespaces:
                self._open_to(pid, user)

    def _open_to(self, pid: int, user: int) -> None:
        try:
            self._channel.open_to(user)
        except OSError as error:
            self._warn(pid, error.strerror or str(error))
            return
        reason = _hindrance(self._channel.path, user) if user != self._user else ""
        if not reason and not self._is_visible_to(pid):
            reason = f"it sees no file {self._channel.path}"
        if reason:
            self._warn(pid, reason)

    def _is_visible_to(self, pid: int) -> bool:
        try:
            status = os.stat(f"/proc/{pid}/root{self._channel.path}")
        except OSError:
            return False
        return self._channel.memory_of(Identity.of(status)) is not None

    def _warn(self, pid: int, reason: str) -> None:
        self._warnings.warn(
            Kind.UNREACHABLE,
            "",
            f"process {pid}, of another user or namespace than htrun, can't open the channel: {reason}. If it emits "
            "events, give a path that it can open (--hypertrace PATH), or start htrun there: runuser -u USER htrun ...",
        )


def _namespaces_of(process: str) -> list[str]:
    # Read the link instead of using stat(2), which takes five times as long, because it creates an inode for each
    # namespace. This function runs at every exec.
    return [os.readlink(f"/proc/{process}/ns/{name}") for name in _NAMESPACES]


def _hindrance(path: Path, user: int) -> str:
    """The reason why ``user`` can't open ``path``: the name of a parent directory that this user can't enter. Empty if
    htrun finds no such directory."""
    for directory in path.parents:
        status = os.stat(directory)
        if not status.st_mode & _SEARCH_BY_OTHERS and status.st_uid != user:
            return f"user {user} can't enter {directory}"
    return ""
