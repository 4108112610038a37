"""The command line of qemu-system: its options in order, and the settings in their values.

A word that begins with one or two dashes is an option, and the next word is its value if the option takes one
(``lookup_opt`` in QEMU's ``softmmu/vl.c``, later ``system/vl.c``); any other word is a disk image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_WITHOUT_VALUE = frozenset(
    [
        "S",
        "alt-grab",
        "async-teardown",
        "audio-help",
        "ctrl-grab",
        "curses",
        "daemonize",
        "enable-fips",
        "enable-kvm",
        "enable-sync-profile",
        "full-screen",
        "h",
        "help",
        "jitdump",
        "localtime",
        "mem-prealloc",
        "no-acpi",
        "no-fd-bootchk",
        "no-hpet",
        "no-kvm",
        "no-quit",
        "no-reboot",
        "no-shutdown",
        "no-user-config",
        "nodefaults",
        "nographic",
        "old-param",
        "one-insn-per-tb",
        "only-migratable",
        "perfmap",
        "portrait",
        "preconfig",
        "s",
        "sdl",
        "semihosting",
        "show-cursor",
        "singlestep",
        "snapshot",
        "usb",
        "version",
        "win2k-hack",
        "xen-attach",
        "xen-domid-restrict",
    ]
)
"""The options without a value: entries of QEMU's ``qemu-options.hx`` without HAS_ARG, from 7.2 to 11.1, including some
that were removed."""

OFF = frozenset(["off", "no", "false", "n"])
"""QEMU's spellings of a false boolean."""


class Option(NamedTuple):
    """One option of a command line.

    ``position``: index of its first word; ``value``: empty if the option takes none.
    """

    position: int
    name: str
    value: str


def options(argv: Sequence[str]) -> Iterator[Option]:
    """The options in ``argv``, a whole command line (the program's own name is number 0). A value may be missing."""
    position = 1
    while position < len(argv):
        word, at = argv[position], position
        position += 1
        if not word.startswith("-") or word == "-":
            continue
        name = word[2:] if word.startswith("--") else word[1:]
        if name in _WITHOUT_VALUE:
            yield Option(at, name, "")
            continue
        yield Option(at, name, argv[position] if position < len(argv) else "")
        position += 1


def settings(value: str, implied: str) -> dict[str, str]:
    """``KEY=VALUE,...`` as a dictionary. A first word without a key is the value of ``implied``; other words without a
    key get the value ``on``.

    A doubled comma is a comma. ``-device`` and ``-object`` may also be written in JSON, whose strings, numbers and
    booleans are then returned in QEMU's spelling. Broken JSON gives an empty dictionary, since QEMU reports it.
    """
    if value.startswith("{"):
        return _json_settings(value)
    found: dict[str, str] = {}
    for number, part in enumerate(_parts(value)):
        key, equals, text = part.partition("=")
        if equals:
            found[key] = text
        elif number == 0:
            found[implied] = part
        else:
            found[key] = "on"
    return found


def joined(words: dict[str, str], implied: str) -> str:
    """The value whose `settings` are ``words``."""
    return ",".join(
        text.replace(",", ",,") if key == implied else f"{key}={text.replace(',', ',,')}" for key, text in words.items()
    )


def _parts(value: str) -> list[str]:
    return [part.replace("\0", ",") for part in value.replace(",,", "\0").split(",")]


def _json_settings(value: str) -> dict[str, str]:
    import json  # Rarely needed, and its import takes time before the program is started.

    try:
        members = json.loads(value)
    except ValueError:
        return {}
    if not isinstance(members, dict):
        return {}
    spelt = {True: "on", False: "off"}
    return {str(key): spelt[member] if isinstance(member, bool) else str(member) for key, member in members.items()}
