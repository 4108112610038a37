"""The command line of strace in its fastest form: with a seccomp filter that stops only at the recorded calls."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.outcome import UnavailableError


def command(call: str, log: Path) -> list[str]:
    """The command line up to the program. ``call``: the recorded call, or ``all``. Raises `UnavailableError`."""
    if shutil.which("strace") is None:
        raise UnavailableError("no strace: install the Debian package")
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={call}", "-o", str(log), "--"]
