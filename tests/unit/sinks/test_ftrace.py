"""Markers in the host kernel's trace, read back from tracefs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from htrun.errors import HtrunError
from htrun.events.shapes import Shapes
from htrun.events.sink import SinkError
from htrun.sinks.facts import TraceFacts
from htrun.sinks.ftrace import FtraceSink, open_sink
from tests.support.batches import NUM_ARGS, STREAMS, Row, batch
from tests.support.tracefs import instance

SOME = [Row(1_700_000_000 * 10**9 + number, number % 2, number, 0, (9, number, 2**64 - 1, 0)) for number in range(1500)]


@pytest.fixture
def tracefs() -> Iterator[Path]:
    """A separate trace buffer for the test."""
    with instance("htrun-test") as directory:
        yield directory


def markers(directory: Path) -> list[str]:
    """The markers in the kernel's order; a line also has the writing process, which is this one."""
    lines = [line for line in (directory / "trace").read_text().splitlines() if not line.startswith("#")]
    return [line.partition("tracing_mark_write: ")[2] for line in lines]


def test_each_event_is_a_marker(tracefs: Path) -> None:
    (tracefs / "buffer_size_kb").write_text("1024")
    sink = open_sink(tracefs, TraceFacts(NUM_ARGS))
    sink.write(batch(SOME), STREAMS)
    sink.flush()
    sink.close()
    sink.close()
    found = markers(tracefs)
    assert len(found) == len(SOME)
    assert found[1] == (
        "12@1700000000.000000:guest_hypertrace cpu=0x1  index=1 arg1=0x0000000000000009 arg2=0x0000000000000001 "
        "arg3=0xffffffffffffffff arg4=0x0000000000000000"
    )
    assert [line.partition("index=")[2].split()[0] for line in found] == [str(row.index) for row in SOME]


def test_an_event_of_many_arguments_is_whole(tracefs: Path) -> None:
    sink = open_sink(tracefs / "trace_marker", TraceFacts(64))
    events = batch([Row(10**18, 0, 0, 3, ())], 64)
    events["kind"], events["args"] = 0, range(64)
    sink.write(events, STREAMS)
    sink.close()
    assert "".join(markers(tracefs)).endswith(" arg64=0x000000000000003f")


def test_a_failing_marker_is_a_failure_of_the_sink() -> None:
    sink = FtraceSink(os.open("/dev/full", os.O_WRONLY), "trace_marker", Shapes(NUM_ARGS))
    with pytest.raises(SinkError, match="trace_marker: No space left"):
        sink.write(batch(SOME), STREAMS)
    sink.close()


def test_where_there_is_no_tracefs(tmp_path: Path) -> None:
    with pytest.raises(HtrunError, match=r"mount -t tracefs"):
        open_sink(tmp_path, TraceFacts())
    (tmp_path / "file").touch()
    with pytest.raises(HtrunError, match="give a trace_marker or tracefs"):
        open_sink(tmp_path / "file", TraceFacts())


def test_without_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError(stat.S_IRUSR, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(HtrunError, match="only root may"):
        open_sink(tmp_path, TraceFacts())
