"""The machines htrun runs on, each in a package of its own."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from htrun.hosts.host import Host

_ELF_64 = b"\x7fELF\x02\x01"
"""A program in ELF: 64 bits, little-endian (<elf.h>)."""
_MACHINE_AT = 18
_PACKAGES = {
    b"\x3e\x00": "htrun.hosts.x86_64",
}
"""By e_machine (EM_X86_64). The interpreter's own, since ``uname`` can be made to lie."""


def package(interpreter: str = "/proc/self/exe") -> str | None:
    """The package of the machine that ``interpreter`` is made for; None if there is none."""
    try:
        with open(interpreter, "rb", buffering=0) as program:
            start = program.read(_MACHINE_AT + 2)
    except OSError:
        # No /proc. The error that follows says so.
        return next(iter(_PACKAGES.values()))
    return _PACKAGES.get(start[_MACHINE_AT:]) if start.startswith(_ELF_64) else None


def is_supported(interpreter: str = "/proc/self/exe") -> bool:
    """Whether htrun can run programs here: on x86-64 Linux, by a Python that is made for it."""
    return sys.platform == "linux" and package(interpreter) is not None


@cache
def current() -> Host:
    """The machine that htrun runs on, which must be a supported one."""
    return cast("Host", import_module(str(package())).HOST)
