"""Finds the libraries of a foreign program."""

from __future__ import annotations

from collections.abc import Iterator

from htrun.launch.architectures import Architecture
from htrun.launch.elf import ElfError, ElfHeader, parse_header
from htrun.launch.files import HERE

_INSIDE_TRIPLE = ("", "/sys-root", "/sysroot", "/libc")
"""Directories under ``/usr/TRIPLE``: of Debian, Ubuntu, Arch and Gentoo; of Fedora; of custom and vendors' cross
compilers."""


def find_sysroot(header: ElfHeader, architecture: Architecture, base: str = "") -> str | None:
    """The first usual directory that holds the interpreter of ``header`` for the right machine; None if there is none.

    The empty string is the root directory itself, where Debian's multiarch packages put foreign libraries. Several
    machines share one interpreter's path (``/lib/ld.so.1``), so the file itself is checked. ``base`` is prepended to
    each directory.
    """
    if header.interpreter is None or not header.interpreter.startswith("/"):
        return None
    return next((root for root in _places(architecture) if _fits(f"{base}{root}{header.interpreter}", header)), None)


def _places(architecture: Architecture) -> Iterator[str]:
    """The directories to try: QEMU's own default directories first, and the root directory last."""
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
