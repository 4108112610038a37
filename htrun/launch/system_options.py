"""The command line of qemu-system: the options in their order, and the settings in their values.

A word that begins with one or two dashes is an option. If the option takes a value, the next word is its value
(``lookup_opt`` in QEMU's ``softmmu/vl.c``, later ``system/vl.c``). Any other word is a disk image.
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
"""The options without a value: the entries in QEMU's ``qemu-options.hx`` without HAS_ARG, from QEMU 7.2 to 11.1. Some
of them have been removed since."""

OFF = frozenset(["off", "no", "false", "n"])
"""QEMU's spellings of a false boolean."""


class Option(NamedTuple):
    """One option of a command line.

    ``position``: the index of the option's word. ``value``: empty if the option takes no value.
    """

    position: int
    name: str
    value: str


def options(argv: Sequence[str]) -> Iterator[Option]:
    """The options in ``argv``, a whole command line (index 0 is the program's own name). The value of the last option
    may be missing."""
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
    """``KEY=VALUE,...`` as a dictionary. A first word without a key is the value of the key ``implied``. Other words
    without a key are keys with the value ``on``.

    A doubled comma stands for one comma. The values of ``-device`` and ``-object`` may also be written in JSON;
    strings, numbers and booleans are then returned as QEMU spells them. Broken JSON gives an empty dictionary, since
    QEMU reports it.
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
    """The value of an option whose `settings` are ``words``."""
    return ",".join(
        text.replace(",", ",,") if key == implied else f"{key}={text.replace(',', ',,')}" for key, text in words.items()
    )


def _parts(value: str) -> list[str]:
    return [part.replace("\0", ",") for part in value.replace(",,", "\0").split(",")]


def _json_settings(value: str) -> dict[str, str]:
    import json  # Imported here: it is rarely needed, and the import would delay the start of the program.

    try:
        members = json.loads(value)
    except ValueError:
        return {}
    if not isinstance(members, dict):
        return {}
    spelt = {True: "on", False: "off"}
    return {str(key): spelt[member] if isinstance(member, bool) else str(member) for key, member in members.items()}
