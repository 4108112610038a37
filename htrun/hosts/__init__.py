"""The machines that htrun runs on. Each machine has its own package."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from htrun.hosts.host import Host

_ELF_64 = b"\x7fELF\x02\x01"
"""The start of a 64-bit, little-endian ELF file (<elf.h>)."""
_MACHINE_AT = 18
_PACKAGES = {
    b"\x3e\x00": "htrun.hosts.x86_64",
}
"""The package of each machine, by e_machine (EM_X86_64). htrun reads e_machine from the file of its Python interpreter,
since ``uname`` can be made to report another machine."""


def package(interpreter: str = "/proc/self/exe") -> str | None:
    """The package of the machine for which the file ``interpreter`` is made; None if htrun has no such package."""
    try:
        with open(interpreter, "rb", buffering=0) as program:
            start = program.read(_MACHINE_AT + 2)
    except OSError:
        # There is no /proc. A later error will report this.
        return next(iter(_PACKAGES.values()))
    return _PACKAGES.get(start[_MACHINE_AT:]) if start.startswith(_ELF_64) else None


def is_supported(interpreter: str = "/proc/self/exe") -> bool:
    """Whether htrun can run programs here: on x86-64 Linux, with a Python that is built for x86-64."""
    return sys.platform == "linux" and package(interpreter) is not None


@cache
def current() -> Host:
    """The machine that htrun runs on, which must be supported."""
    return cast("Host", import_module(str(package())).HOST)
