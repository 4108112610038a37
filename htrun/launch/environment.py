"""The environment of the guest."""

from __future__ import annotations

import os
from collections.abc import Mapping

CHANNEL_VARIABLE = "HYPERTRACE"
"""Where the guest library looks for the channel's path when the program names none."""


def callers_environment() -> dict[str, str]:
    """The environment as the caller gave it: without the LC_CTYPE that Python sets for itself in the C locale (PEP
    538), which is missing in the block that the kernel still shows."""
    environment = dict(os.environ)
    if "LC_CTYPE" in environment:
        try:
            with open("/proc/self/environ", "rb") as block:
                if not any(entry.startswith(b"LC_CTYPE=") for entry in block.read().split(b"\0")):
                    del environment["LC_CTYPE"]
        except OSError:
            # No /proc: then what Python has is the best that is known.
            return environment
    return environment


def guest_environment(environment: Mapping[str, str], channel: str) -> dict[str, str]:
    """``environment`` with the path of the ``channel`` in it; emulators hand it on to their guests."""
    return {**environment, CHANNEL_VARIABLE: channel}
