"""Finds the guest program in the command line of qemu-user.

The options are those in ``linux-user/main.c`` from QEMU 7.2 to 11.1, including options that only some of these versions
have (``singlestep`` and ``p`` were removed; ``one-insn-per-tb``, ``tb-size``, ``t``, ``perfmap`` and ``jitdump`` were
added). The value of an option is always a separate word, options begin with one or two dashes, and ``--`` ends the
options.
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
"""The options without a value. ``h``, ``help`` and ``version`` are missing, because QEMU runs no program if they are
given."""


def guest_position(arguments: Sequence[str]) -> int | None:
    """The index of the guest program in ``arguments``, the whole command line of an emulator (index 0 is the emulator's
    own name).

    None if QEMU would not run a program: if no program is given, if an option is unknown or lacks its value, or if help
    is requested.
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
