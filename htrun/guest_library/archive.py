"""The guest library as an archive for one compiler. The archive is prebuilt, or the library's own Makefile builds it
into a cache."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from htrun.errors import HtrunError
from htrun.guest_library.building import built_once, cache, make
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
        _make(guest_directory(), "install", _named(compiler), *words)


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
    return Path(_make(guest_directory() / "user", "path", compiler).strip()).parent.name


def _built(compiler: str) -> Path:
    """Build the archive, unless it is in the cache."""
    user = guest_directory() / "user"
    path = cache([*user.glob("*.[ch]"), user / "Makefile"]) / _target(compiler) / NAME
    return built_once(path, lambda build: _make(user, "all", compiler, f"BUILD={build}", _FLAGS))


def _make(directory: Path, goal: str, compiler: str, *words: str) -> str:
    """Run the makefile in ``directory`` for ``compiler``. Returns the output of make. Raises `HtrunError`."""
    program = compiler.split()[0] if compiler.split() else ""
    if shutil.which(program) is None:
        raise HtrunError(f"there is no compiler {program!r}; install it, or name another with --cc")
    return make(directory, goal, f"CC={compiler}", *words, what=f"the guest library with {compiler}")
