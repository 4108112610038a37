"""Looks up the names of code in files while the program still runs."""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress

from htrun.intercept.symbol_cache import SymbolCache
from htrun.intercept.symbol_helper import SymbolHelper

_PATIENCE = 1.0
"""The time in seconds for which htrun waits for a helper of the lowest priority after the program has ended. On a busy
machine such a helper might need minutes, so a helper of normal priority then replaces it."""
_LONGEST = 30.0
"""The time limit in seconds for the helper of normal priority. A site whose name is not found in this time gets no
name."""
_MOST_HELPERS = 3
"""The maximum number of helpers in a run. A helper may die because of a damaged file, or it may be replaced."""


class SymbolNames:
    """Looks names up in a thread. The thread searches the cache first, and asks a `SymbolHelper` for names that are not
    there. The first request starts the thread and the helper."""

    def __init__(self, cache: SymbolCache, processors: set[int]) -> None:
        """``processors``: the processors on which the thread and its helper may run."""
        self._cache = cache
        self._processors = processors
        self._questions: queue.SimpleQueue[tuple[str, int] | None] = queue.SimpleQueue()
        self._asked: set[tuple[str, int]] = set()
        self._names: dict[str, dict[int, str | None]] = {}
        self._changed: set[str] = set()
        self._helper: SymbolHelper | None = None
        self._helpers = 0
        self._lock = threading.Lock()
        self._ended = False
        self._thread: threading.Thread | None = None

    def ask(self, file: str, offset: int) -> None:
        """Request the name at ``offset`` of ``file``. `find` returns the name later."""
        if (file, offset) in self._asked:
            return
        self._asked.add((file, offset))
        self._questions.put((file, offset))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="symbols", daemon=True)
            # If no thread can be started, there are no names.
            with suppress(RuntimeError):
                self._thread.start()

    def finish(self) -> None:
        """Wait until all requested names are found, or until the time is up."""
        self._questions.put(None)
        if self._thread is None or not self._thread.is_alive():
            return
        self._thread.join(_PATIENCE)
        with self._lock:
            self._ended = True
            if self._helper is not None and self._thread.is_alive():
                self._helper.kill()
        self._thread.join(_LONGEST)

    def find(self, file: str, offset: int) -> str | None:
        """The name at ``offset`` of ``file``; None if there is no name. The name must have been requested before
        `finish`."""
        return self._names.get(file, {}).get(offset)

    def _run(self) -> None:
        # The tracer's thread may be bound to the guest's processor.
        os.sched_setaffinity(0, self._processors)
        try:
            while (question := self._questions.get()) is not None:
                self._look_up(*question)
            for file in self._changed:
                self._cache.store(file, self._names[file])
        finally:
            self._close()

    def _look_up(self, file: str, offset: int) -> None:
        names = self._names.get(file)
        if names is None:
            names = self._names[file] = self._cache.load(file)
        while offset not in names and (helper := self._started()) is not None:
            try:
                names[offset] = helper.ask(file, offset)
                self._changed.add(file)
            except OSError:
                self._close()

    def _started(self) -> SymbolHelper | None:
        """The helper, which is started if there is none; None if no further helper may be started."""
        if self._helper is None and self._helpers < _MOST_HELPERS:
            self._helpers += 1
            with self._lock, suppress(OSError):
                self._helper = SymbolHelper(lowest=not self._ended)
        return self._helper

    def _close(self) -> None:
        with self._lock:
            if self._helper is not None:
                self._helper.close()
                self._helper = None
