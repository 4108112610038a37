"""The guest library as an archive for one compiler. The archive is prebuilt, or the library's own Makefile builds it
into a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from htrun.errors import HtrunError
from htrun.guest_library.sources import guest_directory, prebuilt_archives

_USUAL = "x86_64-linux-gnu"
NAME = "libqemu-hypertrace-guest.a"
_FLAGS = "CFLAGS=-O2 -g -Wno-error"
"""Warnings are not errors here, because a compiler that is newer than the library may give new warnings."""


def archive(compiler: str | None = None) -> Path:
    """The library's archive for ``compiler``, such as ``aarch64-linux-gnu-gcc`` or ``gcc -m32``. The default is
    ``gcc``.

    Without gcc or make, the default is the archive for x86-64 and glibc. Raises `HtrunError` if the archive cannot be
    built.
    """
    found = _prebuilt(compiler)
    return found if found is not None else _built(_named(compiler))


def install(prefix: str, destination: str, compiler: str | None) -> None:
    """Install in ``destination`` + ``prefix`` what the makefile in ``guest`` installs: the headers, the archive, files
    for pkg-config and CMake, and the sources of the kernel module.

    Raises `HtrunError`.
    """
    with tempfile.TemporaryDirectory(prefix="htrun-guest-") as build:
        words = [f"BUILD={build}", f"PREFIX={prefix}", f"DESTDIR={destination}", _FLAGS]
        _make("install", *words, f"CC={_named(compiler)}", directory=guest_directory())


def _named(compiler: str | None) -> str:
    return "gcc" if compiler is None else compiler


def _prebuilt(compiler: str | None) -> Path | None:
    """The archive for the target of ``compiler`` that was distributed with htrun; None if there is none."""
    can_ask = shutil.which("gcc") and shutil.which("make")
    target = _USUAL if compiler is None and not can_ask else _target(_named(compiler))
    path = prebuilt_archives() / target / NAME
    return path if path.is_file() else None


def _target(compiler: str) -> str:
    """The target of ``compiler``, such as ``x86_64-linux-gnu``. The Makefile's directory for the target has the same
    name."""
    return Path(_make("path", f"CC={compiler}").strip()).parent.name


def _built(compiler: str) -> Path:
    """Build the archive, unless it is in the cache. Several runs may build it at the same time, since the result is the
    same."""
    target = _target(compiler)
    path = _cache() / target / NAME
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as build:
            _make("all", f"CC={compiler}", f"BUILD={build}", _FLAGS)
            os.replace(Path(build) / NAME, path)
    except OSError as error:
        raise HtrunError(f"cannot build the guest library in {path.parent}: {error.strerror}") from error
    return path


def _cache() -> Path:
    """A directory for archives that were built from exactly these sources (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()
    digest = hashlib.sha256()
    user = guest_directory() / "user"
    for path in sorted([*user.glob("*.[ch]"), user / "Makefile"]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return root / "htrun" / "guest" / digest.hexdigest()[:16]


def _make(goal: str, *words: str, directory: Path | None = None) -> str:
    """Run the makefile in ``directory``, or the library's own. Returns the output of make. Raises `HtrunError` with the
    first line of an error."""
    compiler = next(word.removeprefix("CC=") for word in words if word.startswith("CC="))
    program = compiler.split()[0] if compiler.split() else ""
    if shutil.which(program) is None:
        raise HtrunError(f"there is no compiler {program!r}; install it, or name another with --cc")
    if shutil.which("make") is None:
        raise HtrunError("the guest library is built with make, which is missing; install it (Debian's package make)")
    command = ["make", "--silent", "--no-print-directory", "-C", str(directory or guest_directory() / "user"), goal]
    command += words
    # If htrun itself is run by make, this make must not inherit its variables.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if "error" in line), lines[0] if lines else "make failed")
        raise HtrunError(f"cannot build the guest library with {compiler}: {reason}")
    return done.stdout
