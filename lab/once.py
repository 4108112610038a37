"""Make a file or directory once, also when several processes want it at the same time."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """Return ``target``, created by ``make(temporary_path)`` if it does not exist. The result of ``make`` is renamed in
    one step, so an interrupted attempt is never taken for the result. Other processes wait meanwhile.
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
