"""One guest thread as a source of events."""

from __future__ import annotations

from typing import NamedTuple


class Stream(NamedTuple):
    """A guest thread that emits events.

    ``tid``, ``pid``: its ids on the host. ``vcpu``: its number among the guest's threads, from 0. ``comm``: its name
    (the kernel keeps at most 15 bytes). ``big_endian``: the byte order of its arguments. ``start``: when htrun first
    saw it, nanoseconds since the epoch.
    """

    tid: int
    pid: int
    vcpu: int = 0
    comm: str = ""
    big_endian: bool = False
    start: int = 0
