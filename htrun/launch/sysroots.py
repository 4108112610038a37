"""Finds the libraries of a foreign program."""

from __future__ import annotations

from collections.abc import Iterator

from htrun.launch.architectures import Architecture
from htrun.launch.elf import ElfError, ElfHeader, parse_header
from htrun.launch.files import HERE

_INSIDE_TRIPLE = ("", "/sys-root", "/sysroot", "/libc")
"""The directories to try in ``/usr/TRIPLE``. Debian, Ubuntu, Arch and Gentoo use the first, and Fedora uses the second.
The others are for custom cross compilers and the cross compilers of vendors."""


def find_sysroot(header: ElfHeader, architecture: Architecture, base: str = "") -> str | None:
    """The first of the usual directories that contains the interpreter of ``header`` for the right machine; None if
    there is none.

    An empty string is the root directory, where Debian's multiarch packages put foreign libraries. Interpreters for
    several machines have the same path (``/lib/ld.so.1``), so the file itself is checked. ``base``: a prefix for each
    directory.
    """
    if header.interpreter is None or not header.interpreter.startswith("/"):
        return None
    return next((root for root in _places(architecture) if _fits(f"{base}{root}{header.interpreter}", header)), None)


def _places(architecture: Architecture) -> Iterator[str]:
    """The directories to try. QEMU's own default directories come first, and the root directory comes last."""
    yield f"/etc/qemu-binfmt/{architecture.name}"
    yield f"/usr/gnemul/qemu-{architecture.name}"
    yield ""
    for triple in architecture.triples:
        for inside in _INSIDE_TRIPLE:
            yield f"/usr/{triple}{inside}"


def _fits(path: str, program: ElfHeader) -> bool:
    try:
        found = parse_header(HERE.read_start(path) or b"", path)
    except (OSError, ElfError):
        return False  # The file does not exist, or is not a dynamic linker.
    return (found.machine, found.bits, found.big_endian) == (program.machine, program.bits, program.big_endian)
