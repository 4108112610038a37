"""What every trace says of the run it comes from."""

from __future__ import annotations

import os
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import htrun

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_facts(command: Sequence[str], num_args: int) -> dict[str, str | int]:
    """Facts known when a run starts; the caller adds what it learns of the guest. Keys are C identifiers."""
    system = os.uname()
    return {
        "tracer_name": "htrun",
        "tracer_version": htrun.__version__,
        "hostname": system.nodename,
        "sysname": system.sysname,
        "kernel_release": system.release,
        "machine": system.machine,
        "command": shlex.join(command),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "num_args": num_args,
    }
