"""Waits for changes that cause no notification, such as a growing file, or memory that another thread writes."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""The time in seconds after which a test assumes that something hangs: far more than it needs, even on a slow and busy
machine."""
_PAUSE = 0.002
"""The time in seconds between two checks of the condition."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Check ``condition`` repeatedly until it is true. Raises AssertionError with the text ``what`` if it stays false
    for `PATIENCE` seconds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(_PAUSE)
