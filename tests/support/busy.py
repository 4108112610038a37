"""Keeps the machine busy."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_loops(count: int | None = None) -> Iterator[None]:
    """Run ``count`` busy loops while the block runs; None: one for each processor."""
    processors = len(os.sched_getaffinity(0))
    loops = [
        subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(processors if count is None else count)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
