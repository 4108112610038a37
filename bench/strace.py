"""How strace is started: as fast as it can be, by a seccomp filter that stops at the calls that are wanted alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.outcome import UnavailableError


def command(call: str, log: Path) -> list[str]:
    """The command line up to the program. ``call``: the one recorded, or ``all``. Raises `UnavailableError`."""
    if shutil.which("strace") is None:
        raise UnavailableError("no strace: install the Debian package")
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={call}", "-o", str(log), "--"]
