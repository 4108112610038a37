"""The environment of the guest: exactly the entries that the caller passed, since a program may look at all of it.

Python's own mapping lacks entries without ``=`` and second entries of one name, and has the LC_CTYPE that Python sets
for itself in the C locale (PEP 538). So the entries are read from the kernel, which keeps what the last exec was given.
"""

from __future__ import annotations

from collections.abc import Sequence

CHANNEL_VARIABLE = "HYPERTRACE"
"""Where the guest library looks for the channel's path if the program names none."""


def block_of(process: int) -> list[bytes]:
    """The entries of a process's environment, as they were when it started. Empty if the process is gone."""
    try:
        with open(f"/proc/{process}/environ", "rb") as block:
            return block.read().split(b"\0")[:-1]
    except OSError:
        return []


def guest_environment(entries: Sequence[bytes], channel: bytes) -> list[bytes]:
    """``entries`` with the path of the ``channel``, which replaces such an entry if there is one; emulators pass it on
    to their guests."""
    name = CHANNEL_VARIABLE.encode() + b"="
    found = [place for place, entry in enumerate(entries) if entry.startswith(name)]
    place = found[0] if found else len(entries)
    others = [entry for entry in entries if not entry.startswith(name)]
    return [*others[:place], name + channel, *others[place:]]
