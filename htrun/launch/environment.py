"""The environment of the guest: exactly the entries that the caller passed, since a program may look at any of them.

Python's own mapping lacks entries without ``=`` and second entries of one name, and has the LC_CTYPE that Python sets
for itself in the C locale (PEP 538). So the entries are read from the kernel, which keeps those that the last exec
passed.
"""

from __future__ import annotations

from collections.abc import Sequence

CHANNEL_VARIABLE = "HYPERTRACE"
"""The variable with the channel's path, which the guest library uses if the program names none."""


DESCRIPTOR_VARIABLE = "HYPERTRACE_FD"
"""The number of a descriptor of the channel that the program inherits, for processes that cannot follow the path."""


def block_of(process: int) -> list[bytes]:
    """The entries of a process's environment, as they were when it started. Empty if the process is gone."""
    try:
        with open(f"/proc/{process}/environ", "rb") as block:
            return block.read().split(b"\0")[:-1]
    except OSError:
        return []


def guest_environment(entries: Sequence[bytes], channel: bytes) -> list[bytes]:
    """``entries`` with the path of the ``channel``, which replaces an earlier one.

    Emulators pass the entries on to their guests.
    """
    return _with(entries, CHANNEL_VARIABLE, channel)


def with_descriptor(entries: Sequence[bytes], descriptor: int) -> list[bytes]:
    """``entries`` with the number of a descriptor of the channel."""
    return _with(entries, DESCRIPTOR_VARIABLE, str(descriptor).encode())


def _with(entries: Sequence[bytes], variable: str, value: bytes) -> list[bytes]:
    name = variable.encode() + b"="
    found = [place for place, entry in enumerate(entries) if entry.startswith(name)]
    place = found[0] if found else len(entries)
    others = [entry for entry in entries if not entry.startswith(name)]
    return [*others[:place], name + value, *others[place:]]
