"""Work for which no tracee waits: it is done as soon as the tracee of the current stop has been resumed."""

from __future__ import annotations

from collections.abc import Callable


class Afterwards:
    """The work that the handler of the current stop has left for later. It is done before any other stop is
    handled."""

    def __init__(self) -> None:
        self._work: list[Callable[[], None]] = []

    def add(self, work: Callable[[], None]) -> None:
        """Do ``work`` when the current stop has been handled."""
        self._work.append(work)

    def do(self) -> None:
        """Do all of it."""
        while self._work:
            self._work.pop(0)()
