"""Runs the makefiles of the guest libraries, and keeps the results in a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from htrun.errors import HtrunError


def make(directory: Path, goal: str, *words: str, what: str) -> str:
    """Run the makefile in ``directory``. Returns the output of make.

    ``what``: the target and the compiler, for error messages. Raises `HtrunError` with the first line of an error.
    """
    if shutil.which("make") is None:
        raise HtrunError("the guest library is built with make, which is missing; install it (Debian's package make)")
    command = ["make", "--silent", "--no-print-directory", "-C", str(directory), goal, *words]
    # A make that runs htrun must not pass its variables on to the make that builds the library.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if "error" in line), lines[0] if lines else "make failed")
        raise HtrunError(f"cannot build {what}: {reason}")
    return done.stdout


def built_once(path: Path, build: Callable[[str], object]) -> Path:
    """Return ``path``. If the file does not exist, ``build`` first creates a file with this name in a given directory.
    Several runs may build it at the same time, since the result is the same. Raises `HtrunError`."""
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as directory:
            build(directory)
            os.replace(Path(directory) / path.name, path)
    except OSError as error:
        raise HtrunError(f"cannot build the guest library in {path.parent}: {error.strerror}") from error
    return path


def cache(sources: Iterable[Path]) -> Path:
    """A directory for the results of exactly these files (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return root / "htrun" / "guest" / digest.hexdigest()[:16]
