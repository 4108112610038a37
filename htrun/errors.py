"""Errors that end htrun with one clear line, and the exit codes they carry."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of htrun's own failures, the same as those of env(1), nohup(1) and timeout(1)."""

    OWN_FAILURE = 125
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


class HtrunError(Exception):
    """A failure of htrun's own. ``str()`` is the one line that the user sees: what is wrong, where, and what to do."""

    def __init__(self, message: str, exit_code: int = ExitCode.OWN_FAILURE) -> None:
        super().__init__(message)
        self.exit_code = int(exit_code)
