"""Warns about loads from the control region, which are not events."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from htrun.events.warnings import Kind

if TYPE_CHECKING:
    from htrun.events.warnings import Warnings
    from htrun.hosts.host import NotAStore


class Loads:
    """Reports loads from the control region."""

    def __init__(self, warnings: Warnings) -> None:
        self._warnings = warnings
        self._is_valgrind: dict[int, bool] = {}

    def report(self, pid: int, address: int, reason: NotAStore) -> None:
        """Report that the instruction at ``address`` in process ``pid`` is not a plain store."""
        known = pid in self._is_valgrind
        if not known:
            self._is_valgrind[pid] = _runs_in_valgrind(pid)
        if not self._is_valgrind[pid]:
            self._warnings.warn(
                Kind.LOAD,
                (pid, address),
                f"process {pid} accessed the control region at {address:#x}, but not by a plain store "
                f"({reason}); it gets a SIGSEGV",
            )
        elif not known:
            # valgrind's leak check searches all mapped memory for pointers, and expects SIGSEGV. So one warning for
            # each process is enough.
            self._warnings.warn(
                Kind.LOAD,
                pid,
                f"valgrind reads the control region of process {pid}, as its leak check reads all memory: this is not "
                "an error of the program; --leak-check=no turns the leak check off",
            )


def _runs_in_valgrind(pid: int) -> bool:
    with suppress(OSError):
        return "/valgrind/" in os.readlink(f"/proc/{pid}/exe")
    return False
