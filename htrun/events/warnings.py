"""Warnings about the guest's errors and about htrun's own errors. A warning about the guest is printed once for each
kind and place. All warnings are counted."""

from __future__ import annotations

import sys
from collections import Counter
from enum import Enum


class Kind(Enum):
    """The kinds of warnings. The value of a member is its name in the summary."""

    WILD_INDEX = "wild-index"
    WRONG_OFFSET = "wrong-offset"
    WRONG_SIZE = "wrong-size"
    LOAD = "load"
    HEADER = "header-store"
    RING_DAMAGED = "ring-damaged"
    INJECTION = "injection"
    COSTLY = "costly-site"
    CLOCK = "clock"
    UNREACHABLE = "unreachable"
    NO_DEVICE = "no-device"
    SHARED_CHANNEL = "shared-channel"
    SHARED_THREAD = "shared-thread"
    CLOCK_JUMP = "clock-jump"
    SECOND_TRACER = "second-tracer"
    UNSEEN = "unseen"
    DEFINITIONS = "definitions"
    SCHED = "sched"
    SINK = "sink"
    INTERNAL = "internal"


class Warnings:
    """Collects warnings. ``quiet``: whether warnings are only counted, and not printed."""

    def __init__(self, *, quiet: bool, verbose: bool = False) -> None:
        """``verbose``: whether the tracebacks of failures are printed."""
        self.counts: Counter[str] = Counter()
        self._quiet = quiet
        self._verbose = verbose
        self._said: set[tuple[Kind, object]] = set()

    def warn(self, kind: Kind, place: object, message: str) -> None:
        """Count a warning of ``kind``. Print ``message``, unless a warning of this kind was already printed for this
        ``place``."""
        self.counts[kind.value] += 1
        if self._quiet or (kind, place) in self._said:
            return
        self._said.add((kind, place))
        self._print(f"htrun: warning: {message}\n")

    def failed(self, error: Exception, consequence: str) -> None:
        """Count and print a failure of htrun's own, even if warnings are not printed. ``consequence``: the effect of
        the failure on the run."""
        self.counts[Kind.INTERNAL.value] += 1
        hint = "" if self._verbose else " with what -v shows"
        text = f"htrun: internal error: {type(error).__name__}: {error}; {consequence}. Please report it{hint}.\n"
        if self._verbose:
            import traceback

            text += "".join(traceback.format_exception(error))
        self._print(text)

    def _print(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            # Standard error is closed (a broken pipe), so nobody would see a warning.
            self._quiet = True
