"""The exception that ends htrun with a message of one line, and htrun's exit codes."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of htrun's own failures. They are the exit codes of env(1), nohup(1) and timeout(1)."""

    OWN_FAILURE = 125
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


class HtrunError(Exception):
    """A failure of htrun, not of the program. ``str()`` is the line that the user sees. It says what is wrong, where,
    and what to do."""

    def __init__(self, message: str, exit_code: int = ExitCode.OWN_FAILURE) -> None:
        super().__init__(message)
        self.exit_code = int(exit_code)
