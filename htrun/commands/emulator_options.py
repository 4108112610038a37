"""Finds options of htrun in the command line of an emulator. QEMUs that were patched for hypertrace accepted these
options.

``htrun qemu-x86_64 -hypertrace /tmp/ht -trace 'guest*' ./app`` means ``htrun -hypertrace /tmp/ht -trace 'guest*'
qemu-x86_64 ./app``. ``-hypertrace`` is always an option of htrun, since no released QEMU has it. ``-trace`` is an
option of htrun if its pattern begins like the names of htrun's events, since no other event of QEMU has such a name. In
this case ``-D`` is an option of htrun, too, unless another option makes QEMU itself write a log.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_QEMU = re.compile(r"qemu-(?P<system>system-)?[A-Za-z0-9_]+(?:-static)?")
_USER_VALUES = frozenset(
    ["0", "B", "D", "E", "L", "R", "U", "cpu", "d", "dfilter", "g", "hypertrace", "p", "plugin", "r", "s", "seed"]
) | {"trace"}
"""The options of qemu-user whose value is the next word (linux-user/main.c, arg_table)."""
_OURS = re.compile(r"(?:enable=)?-?guest")
_LOGGED = frozenset({"d", "trace"})
"""The options that make QEMU write to the file of ``-D``."""


class Split(NamedTuple):
    """A command line of an emulator, without htrun's options. ``program``: the remaining words. ``options``: htrun's
    options, each followed by its value."""

    program: Sequence[str]
    options: Sequence[str]


def split(program: Sequence[str]) -> Split:
    """Take htrun's options out of the command line of an emulator. Raises `HtrunError` if an option lacks its value."""
    match = _QEMU.fullmatch(PurePath(program[0]).name)
    if match is None:
        return Split(program, ())
    options = list(_of_machine(program) if match["system"] else _of_user(program))
    ours = [place for place in options if _is_ours(program, place)]
    if not ours:
        return Split(program, ())
    others = {_name(program[place]) for place in options if place not in ours}
    if not others & _LOGGED:
        ours += [place for place in options if _name(program[place]) == "D"]
    taken = sorted(ours)
    for place in taken:
        if place + 1 >= len(program):
            raise HtrunError(f"{program[place]} needs a value; try: htrun --help")
    gone = {each for place in taken for each in (place, place + 1)}
    rest = [word for place, word in enumerate(program) if place not in gone]
    return Split(rest, [word for place in taken for word in (f"-{_name(program[place])}", program[place + 1])])


def _name(word: str) -> str:
    return word.removeprefix("-").removeprefix("-")


def _is_ours(program: Sequence[str], place: int) -> bool:
    match _name(program[place]):
        case "hypertrace":
            return True
        case "trace":
            return place + 1 < len(program) and _OURS.match(program[place + 1]) is not None
        case _:
            return False


def _of_user(program: Sequence[str]) -> Iterator[int]:
    """The positions of the options of a qemu-user. The program ends the options."""
    place = 1
    while place < len(program) and program[place].startswith("-") and program[place] not in {"-", "--"}:
        yield place
        place += 2 if _name(program[place]) in _USER_VALUES else 1


def _of_machine(program: Sequence[str]) -> Iterator[int]:
    """The positions of the options of a qemu-system. These are all words that look like options, except for the values
    of htrun's options."""
    place = 1
    while place < len(program):
        if program[place].startswith("-"):
            yield place
        place += 2 if _name(program[place]) in {"hypertrace", "trace", "D", "append"} else 1
