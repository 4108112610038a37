"""Waiting for changes without a notification: a file that grows, memory that another thread writes."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which a test assumes that something hangs: far more than it needs, even on a slow and busy machine."""
_PAUSE = 0.002
"""Seconds between two looks."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Test ``condition`` repeatedly until it holds. Raises AssertionError, naming ``what``, if it never does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(_PAUSE)
