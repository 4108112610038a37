"""Creates a file or directory only once, even if several processes need it at the same time."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """Return ``target``, after creating it if it does not exist. It is created by ``make(temporary_path)``, and then
    renamed in one step, so an interrupted attempt is never mistaken for the result. Other processes wait until it
    exists.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        workshop = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
        try:
            make(workshop / target.name)
            (workshop / target.name).rename(target)
        finally:
            shutil.rmtree(workshop)
    return target
