"""Full rings: by default nothing is lost; otherwise every loss is counted, and the right events are kept."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.property.compare import TraceStream, read_trace
from tests.support import simple
from tests.support.requirements import require_tool
from tests.support.run import HTRUN, Htrun, Result
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"
NUM_ARGS = 4
RECORD = 48
RING = 64 * 1024
"""The size in bytes of the smallest ring that is tested, which holds about 1,200 records."""


def _mixed(event: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The same function as in ``property_burst``."""
    word = event * np.uint64(0x9E3779B97F4A7C15)
    return (word ^ word >> np.uint64(32)) * np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Burst:
    """The results of a run of ``property_burst``. ``emitted``: the number of events by thread id."""

    result: Result
    emitted: dict[int, int]
    streams: list[TraceStream]
    trace: Path

    def events(self, tid: int) -> list[int]:
        """The numbers of a thread's events in the trace, after checking all their arguments."""
        found: list[int] = []
        for stream in self.streams:
            if stream.tid != tid:
                continue
            event, number, mixed, inverted = (stream.records["args"][:, place] for place in range(NUM_ARGS))
            assert bool((inverted == ~event).all())
            assert bool((mixed == _mixed(event) ^ number).all())
            assert bool((stream.records["index"] == number).all())
            found += event.tolist()
        return found

    def discarded(self, tid: int) -> int:
        """The number of lost events of a thread, according to the trace."""
        return sum(stream.discarded for stream in self.streams if stream.tid == tid)


def run(htrun: Htrun, toolchain: Toolchain, trace: Path, events: int, threads: int, *options: str) -> Burst:
    """Emit ``events`` in each of ``threads`` threads, as fast as possible."""
    program = toolchain.compile(GUESTS / "property_burst.c")
    result = htrun.run(program, str(events), str(threads), options=("-o", trace, *options))
    assert result.status == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    return Burst(result, {int(tid): int(count) for tid, _, count in lines}, read_trace(trace, NUM_ARGS), trace)


def test_a_full_ring_makes_the_program_wait(htrun: Htrun, toolchain: Toolchain, tmp_path: Path) -> None:
    burst = run(htrun, toolchain, tmp_path / "trace", 100_000, 2, "--ring-size", "64K")
    for tid, count in burst.emitted.items():
        assert burst.events(tid) == list(range(count))
        assert burst.discarded(tid) == 0
    assert burst.result.summary["lost"] == 0
    assert burst.result.summary["events"] == 200_000


@pytest.mark.parametrize("options", [(), ("--no-patch",)], ids=["patched", "traps"])
def test_dropped_events_are_counted(
    htrun: Htrun, toolchain: Toolchain, tmp_path: Path, options: tuple[str, ...]
) -> None:
    events = 200_000 if not options else 3_000
    burst = run(htrun, toolchain, tmp_path / "trace", events, 2, "--ring-size", "64K", "--overflow", "drop", *options)
    for tid, count in burst.emitted.items():
        kept = burst.events(tid)
        assert kept == sorted(set(kept))
        assert len(kept) + burst.discarded(tid) == count
        # The first events, as many as a ring can hold, had room.
        assert kept[:1000] == list(range(1000))
    lost = sum(burst.discarded(tid) for tid in burst.emitted)
    assert burst.result.summary["lost"] == lost
    assert burst.result.summary["events"] + lost == 2 * events
    assert ("discarded" in told_by_babeltrace(burst.trace)) == (lost > 0)
    if not options:
        assert lost > 0


def test_a_flight_recorder_keeps_the_newest_events(htrun: Htrun, toolchain: Toolchain, tmp_path: Path) -> None:
    burst = run(htrun, toolchain, tmp_path / "trace", 200_000, 2, "--ring-size", "64K", "--overflow", "overwrite")
    for tid, count in burst.emitted.items():
        kept = burst.events(tid)
        assert kept == list(range(count - len(kept), count))
        assert len(kept) + burst.discarded(tid) == count
        assert len(kept) >= RING // RECORD // 2
        assert len(kept) <= RING // RECORD
    summary = burst.result.summary
    assert summary["events"] + summary["lost"] == 400_000
    told_by_babeltrace(burst.trace)


@pytest.mark.parametrize("policy", ["drop", "overwrite"])
def test_what_fits_is_not_lost_whatever_the_policy(
    htrun: Htrun, toolchain: Toolchain, tmp_path: Path, policy: str
) -> None:
    burst = run(htrun, toolchain, tmp_path / "trace", 900, 3, "--ring-size", "64K", "--overflow", policy)
    for tid, count in burst.emitted.items():
        assert burst.events(tid) == list(range(count))
    assert burst.result.summary["lost"] == 0


@pytest.mark.parametrize("policy", ["drop", "overwrite"])
def test_qemus_format_tells_of_losses_too(htrun: Htrun, toolchain: Toolchain, tmp_path: Path, policy: str) -> None:
    live, converted = tmp_path / "live.simple", tmp_path / "converted.simple"
    options = ("--ring-size", "64K", "--overflow", policy, "-o", str(live))
    burst = run(htrun, toolchain, tmp_path / "trace", 200_000, 2, *options)
    subprocess.run([HTRUN.with_name("hypertrace"), "convert", burst.trace, converted], check=True)
    for path in (live, converted):
        records = list(simple.read(path.read_bytes()))
        lost = [record.arguments[0] for record in records if record.name is None]
        assert sum(lost) == burst.result.summary["lost"] > 0
        assert len(records) - len(lost) == burst.result.summary["events"]


def told_by_babeltrace(trace: Path) -> str:
    """The messages of babeltrace2; it must accept the trace."""
    done = subprocess.run(
        [require_tool("babeltrace2", "babeltrace2"), trace], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
