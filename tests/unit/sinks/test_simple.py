"""QEMU's simple traces, read back by a reader made from the format's description."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from htrun.errors import HtrunError
from htrun.sinks.facts import TraceFacts
from htrun.sinks.output import Output
from htrun.sinks.simple import SimpleSink, open_sink, trace_events
from tests.support import simple
from tests.support.batches import NUM_ARGS, STREAMS, Row, batch, rows


def read(data: bytes) -> list[tuple[str | None, int, int, tuple[int, ...]]]:
    """Every event: its name (None: a loss), time, pid and arguments."""
    return [(record.name, record.time, record.pid, record.arguments) for record in simple.read(data)]


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
    assert read((tmp_path / "trace").read_bytes()) == [(None, 77, 0, (2**40,))]


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
