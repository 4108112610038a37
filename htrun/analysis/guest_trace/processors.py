"""Finds the threads that run the processors of a machine. Only these carry the trace of a guest's kernel.

This module is small, since it is imported for every trace.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.events.stream import Stream

_NAMES = re.compile(r"(CPU \d+|ALL CPUs)/TCG|qemu-system-.*")


def processors_in(streams: Sequence[Stream]) -> frozenset[int]:
    """The numbers of those of ``streams`` that run a machine's processors, to judge by their names."""
    return frozenset(number for number, stream in enumerate(streams) if _NAMES.fullmatch(stream.comm))
