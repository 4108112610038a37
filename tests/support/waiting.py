"""Waiting for what tells nobody that it has come: a file that grows, memory that another thread writes."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which a test takes something to hang: far more than it ever needs, on a slow and busy machine, too."""
_PAUSE = 0.002
"""Seconds between two looks."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again until ``condition`` holds. Raises AssertionError with ``what`` was waited for in vain."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(_PAUSE)
