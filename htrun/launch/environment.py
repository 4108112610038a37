"""The environment of the guest."""

from __future__ import annotations

from collections.abc import Mapping

CHANNEL_VARIABLE = "HYPERTRACE"
"""Where the guest library looks for the channel's path when the program names none."""


def guest_environment(environment: Mapping[str, str], channel: str) -> dict[str, str]:
    """``environment`` with the path of the ``channel`` in it; emulators hand it on to their guests."""
    return {**environment, CHANNEL_VARIABLE: channel}
