"""The kernel's ftrace files: finds or mounts them, and creates a separate tracing instance."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bench.outcome import UnavailableError
from bench.workshop import Workshop

_USUAL = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))


def mounted(shop: Workshop) -> Path:
    """The root of tracefs. If tracefs is not mounted, it is mounted until the end of the run. Raises
    `UnavailableError`."""
    for place in _USUAL:
        if os.access(place / "trace_marker", os.W_OK):
            return place
    place = shop.scratch / "tracefs"
    if not place.is_dir():
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tracefs", "nodev", place], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            place.rmdir()
            raise UnavailableError(
                f"tracefs cannot be mounted (root may, where the kernel has it): {done.stderr.strip()}"
            )
        shop.cleanup.callback(subprocess.run, ["umount", str(place)], check=True)
    return place


def instance(shop: Workshop, name: str) -> Path:
    """A separate tracing instance with its own buffers. Other users of tracing are not affected."""
    made = mounted(shop) / "instances" / f"htrun-bench-{name}-{os.getpid()}"
    made.mkdir()
    shop.cleanup.callback(made.rmdir)
    return made
