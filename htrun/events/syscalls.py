"""The system calls of the two interfaces of an x86-64 kernel: their names, numbers and arguments.

The tables are in `system_calls.txt`, which is read on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Events

ARCH_X86_64 = 0xC000003E
ARCH_I386 = 0x40000003
"""AUDIT_ARCH_* (<linux/audit.h>): the numbers by which the kernel identifies the interface of a call."""
Declared = tuple[tuple[str, str], ...]
"""The types and names of a call's arguments, as in the C declaration of the call."""

_FILE = Path(__file__).with_name("system_calls.txt")
_INTERFACES = {ARCH_X86_64: "x86-64", ARCH_I386: "i386"}


@dataclass(frozen=True)
class SyscallTable:
    """The calls of one interface. ``names``: the name of each call by its number. ``numbers``: the number of each call
    by its name."""

    names: Mapping[int, str]
    numbers: Mapping[str, int]
    declarations: Mapping[str, str]
    """The arguments of each call by its name, in the notation of the file."""

    def name(self, number: int) -> str:
        """The name of call ``number``; ``syscall_N`` if the table does not contain the call, because it is too new or
        does not exist."""
        return self.names.get(number) or f"syscall_{number}"

    def declared(self, name: str) -> Declared | None:
        """The arguments of the call ``name``; None if they are unknown."""
        text = self.declarations.get(name)
        if text is None:
            return None
        arguments = (each.rpartition(" ") for each in text.split(", ") if each)
        return tuple((type_, argument) for type_, _, argument in arguments)


@cache
def table(arch: int) -> SyscallTable:
    """The table of the interface `ARCH_X86_64` or `ARCH_I386`; an empty table for any other number."""
    names: dict[int, str] = {}
    declarations: dict[str, str] = {}
    for line in _lines_of(_INTERFACES.get(arch)):
        number, _, call = line.strip().partition(" ")
        name, parenthesis, arguments = call.partition("(")
        names[int(number)] = name
        if parenthesis:
            declarations[name] = arguments.removesuffix(")")
    return SyscallTable(names, {name: number for number, name in names.items()}, declarations)


def _lines_of(interface: str | None) -> Iterator[str]:
    """The lines of the file that belong to one interface."""
    if interface is None:
        return
    inside = False
    for line in _FILE.read_text(encoding="ascii").splitlines():
        if inside and not line:
            return
        if inside:
            yield line
        inside = inside or line == interface


def is_known(name: str) -> bool:
    """Whether either interface has a call ``name``."""
    return any(name in table(arch).numbers for arch in (ARCH_X86_64, ARCH_I386))


def names_of(events: Events) -> NDArray[np.str_]:
    """For each of ``events``, which must be calls and returns, the name of the call."""
    import numpy as np

    keys = np.stack([events["arch"], events["num"]], axis=1)
    used, places = np.unique(keys, axis=0, return_inverse=True)
    names = np.array([table(arch).name(number) for arch, number in used.tolist()], np.str_)
    return np.asarray(names[places.reshape(-1)])


def similar(name: str) -> list[str]:
    """The names of calls that are similar to the unknown ``name``. The most similar name is first."""
    from difflib import get_close_matches

    known = table(ARCH_X86_64).numbers.keys() | table(ARCH_I386).numbers.keys()
    return get_close_matches(name, sorted(known), n=3)
