"""A guest that attacks htrun's memory in its own address space: nothing that it does affects other processes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.property.compare import Records, read_trace
from tests.support.requirements import require_tool
from tests.support.run import Htrun, Result
from tests.support.toolchain import Toolchain

GUEST = Path(__file__).parents[1] / "integration" / "guests" / "property_scribble.c"
EVENTS = 20_000
NUM_ARGS = 4


@dataclass(frozen=True)
class Attack:
    """A run, the numbers that the other process emitted, and what the guest printed about its attempts."""

    result: Result
    others: Records
    said: list[str]


@pytest.fixture
def attack(request: pytest.FixtureRequest, htrun: Htrun, toolchain: Toolchain, tmp_path: Path) -> Attack:
    """The guest attacks the memory that the test's parameter selects, while a child of it emits."""
    program = toolchain.compile(GUEST)
    result = htrun.run(program, request.param, str(EVENTS), options=("-o", tmp_path / "trace"))
    assert result.status == 0, result.stderr
    *said, last = result.stdout.splitlines()
    child = int(last.split()[1])
    streams = {stream.tid: stream.records for stream in read_trace(tmp_path / "trace", NUM_ARGS)}
    command: list[str | Path] = [require_tool("babeltrace2", "babeltrace2"), tmp_path / "trace"]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
    return Attack(result, streams[child], said)


def check_others(attack: Attack) -> None:
    """All events of the other process are recorded."""
    arguments = attack.others["args"]
    assert bool((arguments[:, 0] == np.arange(EVENTS, dtype=np.uint64)).all())
    assert bool((arguments[:, 1] == ~arguments[:, 0]).all())
    assert bool((attack.others["index"] == 2).all())


@pytest.mark.parametrize("attack", ["rings"], indirect=True)
def test_a_guest_that_writes_all_over_its_ring_gets_a_warning(attack: Attack) -> None:
    check_others(attack)
    assert set(attack.result.summary["warnings"]) == {"ring-damaged"}
    assert attack.result.stderr.count("\n") == 1
    assert "overwrote its own ring" in attack.result.stderr


@pytest.mark.parametrize("attack", ["trampolines"], indirect=True)
def test_no_guest_can_write_to_trampolines(attack: Attack) -> None:
    check_others(attack)
    assert attack.said == ["store: refused", "mprotect: Permission denied", "store: refused"]
    assert attack.result.stderr == ""
    assert attack.result.summary["warnings"] == {}
    assert attack.result.summary["events"] == EVENTS + 2000
