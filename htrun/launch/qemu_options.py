"""Finds the guest program in the command line of qemu-user.

The options are those of ``linux-user/main.c`` from QEMU 7.2 to 11.1, with the ones that came and went in between
(``singlestep`` and ``p`` are gone; ``one-insn-per-tb``, ``tb-size``, ``t``, ``perfmap`` and ``jitdump`` are new).
An option's value is always a word of its own, one or two dashes mean the same, and ``--`` ends the options.
"""

from __future__ import annotations

from collections.abc import Sequence

_WITH_VALUE = frozenset(
    [
        "g",
        "L",
        "s",
        "cpu",
        "E",
        "U",
        "0",
        "r",
        "B",
        "R",
        "t",
        "d",
        "dfilter",
        "D",
        "p",
        "tb-size",
        "seed",
        "trace",
        "plugin",
    ],
)
_WITHOUT_VALUE = frozenset(["one-insn-per-tb", "singlestep", "strace", "perfmap", "jitdump", "xtensa-abi-call0"])
"""The options without a value. ``h``, ``help`` and ``version`` are left out, because with them QEMU runs no program."""


def guest_position(arguments: Sequence[str]) -> int | None:
    """The index of the guest program in ``arguments``, an emulator's whole command line (its own name is number 0).

    None if QEMU would run no program: none is given, an option is unknown or lacks its value, or help is requested.
    """
    position = 1
    while position < len(arguments):
        word = arguments[position]
        if not word.startswith("-"):
            return position
        position += 1
        if word == "--":
            return position if position < len(arguments) else None
        option = word[2:] if word.startswith("--") else word[1:]
        if option in _WITH_VALUE:
            position += 1
        elif option not in _WITHOUT_VALUE:
            return None
    return None
