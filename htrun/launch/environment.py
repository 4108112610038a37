"""The environment of the guest. It consists of exactly the entries that the caller has passed to htrun, because a
program may read any entry.

Python's own mapping lacks entries without ``=``, and all but one of several entries with the same name. In the C locale
it also contains an LC_CTYPE that Python has set for itself (PEP 538). So the entries are read from the kernel, which
keeps those that the last exec has passed.
"""

from __future__ import annotations

from collections.abc import Sequence

CHANNEL_VARIABLE = "HYPERTRACE"
"""The variable that contains the channel's path. The guest library uses this path if the program passes no other
path."""


DESCRIPTOR_VARIABLE = "HYPERTRACE_FD"
"""The variable that contains the number of a descriptor of the channel. The program inherits this descriptor, for
processes that cannot follow the path."""


def block_of(process: int) -> list[bytes]:
    """The entries of a process's environment, as they were when it started. Empty if the process is gone."""
    try:
        with open(f"/proc/{process}/environ", "rb") as block:
            return block.read().split(b"\0")[:-1]
    except OSError:
        return []


def guest_environment(entries: Sequence[bytes], channel: bytes) -> list[bytes]:
    """``entries`` with the path of the ``channel``. It replaces an existing path.

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
