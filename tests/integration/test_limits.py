"""Programs that lock their memory, or have little of anything: they run as alone, or htrun says what it lacks."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.run import Htrun
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"
_EVENTS = Counter({(who, number): 1 for who in (*range(12), 100) for number in range(1000)})
_RINGS = 12 * (4 << 10)
"""KiB of the rings of the threads that live at a time."""


@pytest.mark.parametrize("case", ["locked", "locked_later", "limited_later"])
def test_locked_and_limited_memory(toolchain: Toolchain, htrun: Htrun, case: str) -> None:
    """No ring is locked, and none has memory but those of threads that emit; all events are patched."""
    program = toolchain.compile(_GUESTS / "locked_memory.c")
    alone = subprocess.run([program, case], capture_output=True, text=True, check=True).stdout.split()
    result = htrun.run(program, case).check()
    assert Counter((event.args[0], event.args[1]) for event in result.events) == _EVENTS
    assert (result.summary["warnings"], result.summary["traps"] < 100) == ({}, True)
    locked, resident = (int(word) for word in result.stdout.split())
    assert locked < int(alone[0]) + (16 << 10)
    assert resident < int(alone[1]) + _RINGS + (16 << 10)
