"""The Python interface of a trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import htrun
from htrun.analysis.statistics import count
from htrun.analysis.trace import DamagedTraceWarning, Trace
from htrun.errors import HtrunError
from htrun.events.named import NamedEvents, Phase
from htrun.events.stream import Stream
from htrun.rings.layout import PACKET_HEADER
from tests.unit.analysis.made import FACTS, Made

ONE, TWO = Stream(10, 10, 0, "one"), Stream(21, 20, 0, "two", big_endian=True)
NAMES = """\
[[event]]
id = 1
name = "io"
phase = "begin"
args = ["size:i64", "kind:enum:READ=0,WRITE=1"]
[[event]]
id = 2
name = "io"
phase = "end"
args = ["ratio:f64", "ok:bool"]
"""
HALF = 0x3FE0000000000000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = Made(tmp_path / "t", num_args=3)
    made.packet(ONE, [100, 300], [[1, 2**64 - 5, 1], [2, HALF, 1]], index=7, site=2)
    made.packet(TWO, [200, 400], [[9, 8, 7], [1, 3, 5]], discarded=4)
    return made.close()


def test_events_one_by_one(path: Path) -> None:
    trace = htrun.open(str(path), NamedEvents.parse(NAMES))
    events = list(trace)
    assert [(event.time, event.name, event.phase, dict(event.values)) for event in events] == [
        (100, "io", Phase.BEGIN, {"size": -5, "kind": "WRITE"}),
        (200, "guest_hypertrace", Phase.INSTANT, {"arg1": 9, "arg2": 8, "arg3": 7}),
        (300, "io", Phase.END, {"ratio": 0.5, "ok": True}),
        (400, "io", Phase.BEGIN, {"size": 3, "kind": 5}),
    ]
    assert [event.stream.comm for event in events] == ["one", "two", "one", "two"]
    assert (events[0].index, events[0].site, events[0].args) == (7, 2, (1, 2**64 - 5, 1))


def test_the_whole_at_once(path: Path) -> None:
    trace = htrun.open(path)
    events = trace.to_numpy()
    assert events["time"].tolist() == [100, 200, 300, 400]
    assert events["args"][:, 0].tolist() == [1, 9, 2, 1]
    assert (len(trace), trace.num_args, trace.duration) == (4, 3, (100, 400))
    assert (list(trace.discarded), trace.environment["command"]) == ([0, 4], FACTS["command"])
    batches = list(trace.events(size=3))
    np.testing.assert_array_equal(np.concatenate(batches), events)


def test_arrow(path: Path) -> None:
    table = htrun.open(path, NamedEvents.parse(NAMES)).to_arrow()
    assert table.column("time").type == pa.timestamp("ns", tz="UTC")
    assert table.column("time").cast(pa.int64()).to_pylist() == [100, 200, 300, 400]
    assert table.column("arg2").to_pylist() == [2**64 - 5, 8, HALF, 3]
    assert table.column("comm").to_pylist() == ["one", "two", "one", "two"]
    assert table.column("pid").to_pylist() == [10, 20, 10, 20]
    assert table.column("event").to_pylist() == ["guest_hypertrace"] * 4
    assert table.column("name").to_pylist() == ["io", None, "io", "io"]
    assert table.column("phase").to_pylist() == ["begin", None, "end", "begin"]
    assert table.column("io.size").to_pylist() == [-5, None, None, 3]
    assert table.column("io.ratio").to_pylist() == [None, None, 0.5, None]
    events = list(htrun.open(path, NamedEvents.parse(NAMES)))
    # A value without a label in an enumeration is the number as text.
    assert table.column("io.kind").to_pylist() == ["WRITE", None, None, "5"]
    for argument in ("size", "ratio", "ok"):
        told = [event.values.get(argument) if event.name == "io" else None for event in events]
        assert table.column(f"io.{argument}").to_pylist() == told


def test_arrow_of_a_trace_without_events(tmp_path: Path) -> None:
    table = htrun.open(Made(tmp_path / "t").close()).to_arrow()
    assert (len(table), table.column_names[0]) == (0, "time")


def test_names_that_the_trace_carries(tmp_path: Path) -> None:
    made = Made(tmp_path / "t", num_args=3, facts={**FACTS, "named_events": NAMES})
    path = made.packet(ONE, [1], [[1, 2, 0]]).close()
    [event] = htrun.open(path)
    assert (event.name, event.values) == ("io", {"size": 2, "kind": "READ"})
    [other] = htrun.open(path, NamedEvents.parse('[[event]]\nid = 1\nname = "other"\n'))
    assert other.name == "other"


def test_damaged_names_are_a_warning(tmp_path: Path) -> None:
    path = Made(tmp_path / "t", facts={**FACTS, "named_events": "[[event]"}).packet(ONE, [1], [[1, 2]]).close()
    with pytest.warns(DamagedTraceWarning, match="named events in its metadata"):
        trace = htrun.open(path)
    assert [event.name for event in trace] == ["guest_hypertrace"]


def test_damage_is_a_warning_and_the_rest_is_read(path: Path) -> None:
    [file] = path.glob("stream-1-*")
    file.write_bytes(file.read_bytes()[: PACKET_HEADER + 60])
    with pytest.warns(DamagedTraceWarning, match="in the middle of a packet"):
        trace = htrun.open(path)
    assert [event.time for event in trace] == [100, 200, 300]


def test_a_damaged_time_is_told_when_it_is_met(path: Path) -> None:
    [file] = path.glob("stream-0-*")
    raw = bytearray(file.read_bytes())
    raw[PACKET_HEADER + 40 : PACKET_HEADER + 48] = bytes(8)
    file.write_bytes(raw)
    told: list[str] = []
    trace = Trace.open(path, warn=told.append)
    assert told == []
    assert trace.to_numpy()["time"].tolist() == [100, 200, 400]
    assert len(told) == 1


def test_no_trace(tmp_path: Path) -> None:
    with pytest.raises(HtrunError, match="does not exist"):
        htrun.open(tmp_path / "nothing")


def test_counts(path: Path) -> None:
    trace = htrun.open(path, NamedEvents.parse(NAMES))
    counts = count(trace.events(size=1), trace.shapes)
    assert counts.streams == {0: 2, 1: 2}
    assert counts.names == {"io": 3, "guest_hypertrace": 1}
    assert counts.sites == {0: 2, 2: 2}
    assert (counts.events, counts.seconds, counts.rate) == (4, 3e-7, 4 / 3e-7)
    nothing = count([], trace.shapes)
    assert (nothing.events, nothing.seconds, nothing.rate) == (0, 0.0, None)
