"""The machines htrun runs on, each in a package of its own."""

from __future__ import annotations

import sys

_ELF_X86_64 = b"\x7fELF\x02\x01"
_MACHINE_AT, _MACHINE = 18, b"\x3e\x00"
"""e_machine of a program in ELF: EM_X86_64 (<elf.h>). The interpreter's own, since ``uname`` can be made to lie."""


def is_supported(interpreter: str = "/proc/self/exe") -> bool:
    """Whether htrun can run programs here: on x86-64 Linux, by a Python that is made for it."""
    if sys.platform != "linux":
        return False
    try:
        with open(interpreter, "rb", buffering=0) as program:
            start = program.read(_MACHINE_AT + len(_MACHINE))
    except OSError:
        # No /proc. What comes next says so.
        return True
    return start.startswith(_ELF_X86_64) and start.endswith(_MACHINE)
