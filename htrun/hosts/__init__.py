"""The machines that htrun runs on. Each machine on which htrun traces programs has its own package."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from htrun.hosts.any_host import Machine
    from htrun.hosts.host import Host

_ELF_64 = b"\x7fELF\x02\x01"
"""The start of a 64-bit, little-endian ELF file (<elf.h>)."""
_MACHINE_AT = 18
_PACKAGES = {
    b"\x3e\x00": "htrun.hosts.x86_64",
}
"""The package of each machine on which htrun traces programs, by e_machine (EM_X86_64). htrun reads e_machine from the
file of its Python interpreter, since ``uname`` may report another machine."""


def _machine_of(interpreter: str) -> bytes | None:
    """The e_machine of the file ``interpreter``; None if it is no 64-bit, little-endian ELF file."""
    try:
        with open(interpreter, "rb", buffering=0) as program:
            start = program.read(_MACHINE_AT + 2)
    except OSError:
        # There is no /proc. A later error will report this.
        return next(iter(_PACKAGES))
    return start[_MACHINE_AT:] if start.startswith(_ELF_64) else None


def package(interpreter: str = "/proc/self/exe") -> str | None:
    """The package of the machine for which the file ``interpreter`` is made; None if htrun traces no programs on this
    machine."""
    return _PACKAGES.get(_machine_of(interpreter) or b"")


def is_supported(interpreter: str = "/proc/self/exe") -> bool:
    """Whether htrun can run programs here: on Linux, with a Python for a 64-bit, little-endian machine."""
    return sys.platform == "linux" and _machine_of(interpreter) is not None


def can_trace() -> bool:
    """Whether htrun can trace programs on this machine, which must be supported. Otherwise it records only the events
    that programs write to rings."""
    return package() is not None


@cache
def current() -> Host:
    """The machine that htrun runs on, on which it must be able to trace programs."""
    return cast("Host", import_module(str(package())).HOST)


@cache
def machine() -> Machine:
    """The machine that htrun runs on, which must be supported."""
    if can_trace():
        return current()
    from htrun.hosts.untraced import COUNTERS, UntracedMachine

    number = int.from_bytes(_machine_of("/proc/self/exe") or b"", "little")
    return UntracedMachine(number, COUNTERS.get(number))
