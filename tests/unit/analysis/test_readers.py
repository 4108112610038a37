"""A trace is read by the reader of its kind, and may consist of several recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import htrun
from htrun.analysis import reader as readers
from htrun.analysis.reader import READERS, open_reader
from htrun.analysis.trace import DamagedTraceWarning, Trace
from htrun.commands.hypertrace import main
from htrun.ctf.reader import CtfReader
from htrun.errors import HtrunError
from htrun.events.losses import Loss
from htrun.events.stream import Stream
from htrun.events.window import Window
from tests.unit.analysis.csv_reader import CsvReader
from tests.unit.analysis.made import Made

NAMES = """\
[[event]]
id = 1
name = "work"
phase = "begin"
[[event]]
id = 2
name = "work"
phase = "end"
"""


@pytest.fixture(autouse=True)
def _csv_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps to add a reader, except writing it."""
    monkeypatch.setattr(readers, "READERS", (*READERS, CsvReader))


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "made.csv"
    path.write_text("1000,7,main,0,1\n2000,8,worker,3,0xcafe\n2500,7,main,0,2\n4000,8,worker,3,0xbeef\n")
    return path


def test_a_recording_of_another_kind_is_a_trace_like_any_other(lines: Path) -> None:
    trace = htrun.open(lines)
    assert len(trace) == 4
    assert trace.environment == {"command": "made by hand"}
    events = [(event.time, event.stream.comm, event.index, event.values) for event in trace]
    assert events[1] == (2000, "worker", 3, {"arg1": 0xCAFE})
    assert [time for time, *_ in events] == [1000, 2000, 2500, 4000]
    assert trace.to_numpy()["args"][:, 0].tolist() == [1, 0xCAFE, 2, 0xBEEF]


def test_verbs_take_it_too(lines: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events.toml").write_text(NAMES)
    assert main(["print", str(lines), "--thread", "worker", "--time", "epoch", "--color", "never"]) == 0
    lines_of_worker = capfd.readouterr().out.splitlines()
    assert lines_of_worker[0] == "0.000002000 worker:8 guest_hypertrace index=3 arg1=0x000000000000cafe"
    assert main(["stat", str(lines), "--events", str(tmp_path / "events.toml"), "--csv", "-"]) == 0
    assert capfd.readouterr().out.splitlines()[1].startswith("work,,raw,1,1500.0")


def test_its_damage_is_a_warning(lines: Path) -> None:
    lines.write_text(lines.read_text() + "nonsense\n")
    with pytest.warns(DamagedTraceWarning, match="1 lines make no sense"):
        assert len(htrun.open(lines)) == 4


def test_what_no_reader_recognises_is_refused_as_no_native_trace(tmp_path: Path) -> None:
    with pytest.raises(HtrunError, match="is not a trace: it has no file 'metadata'"):
        open_reader(tmp_path, lambda _: None)


@pytest.fixture
def native(tmp_path: Path) -> Path:
    made = Made(tmp_path / "native", num_args=3)
    made.packet(Stream(20, 20, comm="native"), [500, 2000, 2000, 9000], [[5, 6, 7]] * 4)
    made.packet(Stream(21, 20, comm="other"), [2600, 2700], discarded=4)
    return made.close()


def both(native: Path, lines: Path) -> Trace:
    return Trace([CtfReader.open(native, print), CsvReader.open(lines, print)], None)


@pytest.mark.parametrize("size", [1, 2, 1 << 16])
def test_several_recordings_are_read_in_one_order_of_time(native: Path, lines: Path, size: int) -> None:
    trace = both(native, lines)
    events = np.concatenate(list(trace.events(size=size)))
    assert len(trace) == len(events) == 10
    comms = [trace.streams[number].comm for number in events["stream"].tolist()]
    assert events["time"].tolist() == sorted(events["time"].tolist())
    # Events of two readers with equal times may come in either order.
    assert sorted(zip(events["time"].tolist(), comms, strict=True)) == [
        (500, "native"),
        (1000, "main"),
        (2000, "native"),
        (2000, "native"),
        (2000, "worker"),
        (2500, "main"),
        (2600, "other"),
        (2700, "other"),
        (4000, "worker"),
        (9000, "native"),
    ]
    assert events["args"][0].tolist() == [5, 6, 7]
    assert events["args"][8].tolist() == [0xBEEF, 0, 0]


def test_several_recordings_have_what_each_has(native: Path, lines: Path) -> None:
    trace = both(native, lines)
    assert trace.path == native
    assert trace.duration == (500, 9000)
    assert [stream.comm for stream in trace.streams] == ["native", "other", "main", "worker"]
    assert trace.discarded == [0, 4, 0, 0]
    (begin, end) = (0, Window().end)
    assert [(loss.stream, loss.events) for loss in trace.losses] == [(1, 4)]
    assert all(begin <= loss.begin < loss.end <= end for loss in trace.losses)
    turned = Trace([CsvReader.open(lines, print), CtfReader.open(native, print)], None)
    assert turned.losses == [Loss(3, *(getattr(trace.losses[0], name) for name in ("begin", "end", "events")))]


def test_a_window_is_kept_to_in_each_of_several(native: Path, lines: Path) -> None:
    trace = both(native, lines)
    (events,) = trace.events(Window(1000, 2600, frozenset({0, 3})))
    assert events["time"].tolist() == [2000, 2000, 2000]
    assert events["stream"].tolist() == [0, 0, 3]
    assert list(trace.events(Window(streams=frozenset()))) == []


def test_no_recording_has_events(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    empty = CsvReader.open(tmp_path / "empty.csv", print)
    trace = Trace([empty, empty], None)
    assert (trace.duration, list(trace.events()), len(trace)) == (None, [], 0)
