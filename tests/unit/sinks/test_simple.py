"""QEMU's simple traces, read back by a reader made from the format's description."""

from __future__ import annotations

import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from htrun.errors import HtrunError
from htrun.sinks.facts import TraceFacts
from htrun.sinks.output import Output
from htrun.sinks.simple import SimpleSink, open_sink, trace_events
from tests.support.batches import NUM_ARGS, STREAMS, Row, batch, rows

DROPPED = 0xFFFFFFFFFFFFFFFE


def read(data: bytes) -> list[tuple[str | int, int, int, tuple[int, ...]]]:
    """Every event: its name (or id, if it has none), time, pid and arguments."""
    assert struct.unpack_from("=QQQ", data) == (2**64 - 1, 0xF2B177CB0AA429B4, 4)
    position, names, events = 24, {}, []
    while position < len(data):
        (kind,) = struct.unpack_from("=Q", data, position)
        position += 8
        if kind == 0:
            number, length = struct.unpack_from("=QI", data, position)
            position += 12
            names[number] = data[position : position + length].decode()
            position += length
            continue
        assert kind == 1
        number, time, length, pid = struct.unpack_from("=QQII", data, position)
        arguments = struct.unpack_from(f"={(length - 24) // 8}Q", data, position + 24)
        events.append((names.get(number, number), time, pid, arguments))
        position += length
    assert position == len(data)
    return events


@settings(max_examples=50, deadline=None)
@given(rows())
def test_every_event_is_read_back(some: list[Row]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "trace.simple"
        sink = open_sink(path, TraceFacts(NUM_ARGS))
        middle = len(some) // 2
        for part in (some[:middle], some[middle:]):
            sink.write(batch(part), STREAMS)
        sink.close()
        sink.close()
        found = read(path.read_bytes())
    assert found == [
        (
            row.name,
            row.time,
            STREAMS[row.stream].pid,
            (STREAMS[row.stream].vcpu, *([] if row.name.startswith("guest_cpu") else [row.index]), *row.args),
        )
        for row in some
    ]


def test_losses_are_told(tmp_path: Path) -> None:
    sink = SimpleSink(Output.open(tmp_path / "trace"), 1)
    sink.dropped(2**40, 77)
    sink.close()
    assert read((tmp_path / "trace").read_bytes()) == [(DROPPED, 77, 0, (2**40,))]


def test_a_trace_of_no_events_has_its_head_and_names(tmp_path: Path) -> None:
    open_sink(tmp_path / "trace", TraceFacts(NUM_ARGS)).close()
    assert read((tmp_path / "trace").read_bytes()) == []


def test_the_events_are_described_beside_the_trace(tmp_path: Path) -> None:
    open_sink(tmp_path / "trace", TraceFacts(2)).close()
    text = (tmp_path / "trace.trace-events-all").read_text()
    assert text == trace_events(2)
    assert (
        'guest_hypertrace(void *cpu, uint64_t index, uint64_t arg1, uint64_t arg2) "cpu=%p index=0x%016"PRIx64" '
        'arg1=0x%016"PRIx64" arg2=0x%016"PRIx64""'
    ) in text.splitlines()


def test_an_existing_trace_is_kept(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("precious")
    with pytest.raises(HtrunError, match="it exists"):
        open_sink(tmp_path / "trace", TraceFacts())
    assert (tmp_path / "trace").read_text() == "precious"
