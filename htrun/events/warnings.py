"""What the guest does wrong, said once for each kind and place, and counted for the summary."""

from __future__ import annotations

import sys
from collections import Counter
from enum import Enum


class Kind(Enum):
    """The kinds of warnings; the value is the name in the summary."""

    WILD_INDEX = "wild-index"
    WRONG_OFFSET = "wrong-offset"
    WRONG_SIZE = "wrong-size"
    LOAD = "load"
    HEADER = "header-store"
    RING_DAMAGED = "ring-damaged"
    INJECTION = "injection"
    CLOCK = "clock"
    SHARED_THREAD = "shared-thread"
    SINK = "sink"


class Warnings:
    """Collects warnings. ``quiet``: count, but print nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._quiet = quiet
        self._said: set[tuple[Kind, object]] = set()

    def warn(self, kind: Kind, place: object, message: str) -> None:
        """Count a warning of ``kind``; print ``message`` unless the same kind was printed for the same place."""
        self.counts[kind.value] += 1
        if self._quiet or (kind, place) in self._said:
            return
        self._said.add((kind, place))
        try:
            sys.stderr.write(f"htrun: warning: {message}\n")
            sys.stderr.flush()
        except OSError:
            # Standard error is gone (a closed pipe): there is nobody left to tell.
            self._quiet = True
