"""QEMU's log lines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.events.named import NamedEvents
from htrun.events.records import event_dtype
from htrun.events.shapes import Shapes
from htrun.events.sink import SinkError
from htrun.events.stream import Stream
from htrun.sinks.log import LogSink, format_lines
from htrun.sinks.output import Output

if TYPE_CHECKING:
    from htrun.events.records import Events

Row = tuple[int, int, int, tuple[int, ...]]


def batch(rows: list[Row], num_args: int) -> Events:
    events = np.zeros(len(rows), event_dtype(num_args))
    for place, (time, stream, index, args) in enumerate(rows):
        events["time"][place], events["stream"][place] = time, stream
        events["index"][place], events["args"][place] = index, args
    return events


def expected(row: Row, streams: list[Stream]) -> str:
    time, stream, index, args = row
    micros = time // 1000
    fields = "".join(f" arg{number}=0x{value:016x}" for number, value in enumerate(args, 1))
    return (
        f"{streams[stream].tid}@{micros // 1_000_000}.{micros % 1_000_000:06}:guest_hypertrace "
        f"cpu=0x{streams[stream].vcpu:x}  index={index}{fields}\n"
    )


def test_a_line_reads_as_in_qemu() -> None:
    events = batch([(1473096085_744211_999, 0, 0, (0xCAFE, 2**64 - 1))], 2)
    assert format_lines(events, [Stream(23071, 23071)]) == (
        b"23071@1473096085.744211:guest_hypertrace cpu=0x0  index=0 arg1=0x000000000000cafe arg2=0xffffffffffffffff\n"
    )


def test_a_named_event_that_is_no_instant_tells_its_phase_before_what_a_user_can_name() -> None:
    names = NamedEvents.parse(
        """
        event = [
            {id = 1, name = "job", phase = "begin", args = ["phase", "index"]},
            {id = 2, name = "job", phase = "end"},
            {id = 3, name = "load", phase = "counter", args = ["n"]},
            {id = 4, name = "mark", args = ["phase"]},
        ]
        """
    )
    events = batch([(0, 0, 7, (id_, 8, 9)) for id_ in (1, 2, 3, 4, 5)], 3)
    lines = format_lines(events, [Stream(12, 12)], Shapes(3, names)).decode().splitlines()
    assert [line.removeprefix("12@0.000000:") for line in lines] == [
        "job cpu=0x0  phase=begin index=7 phase=8 index=9",
        "job cpu=0x0  phase=end index=7",
        "load cpu=0x0  phase=counter index=7 n=8",
        "mark cpu=0x0  index=7 phase=8",
        "guest_hypertrace cpu=0x0  index=7 arg1=0x0000000000000005 arg2=0x0000000000000008 arg3=0x0000000000000009",
    ]


def test_no_events_make_no_lines() -> None:
    assert format_lines(np.empty(0, event_dtype(4)), []) == b""


words = st.integers(0, 2**64 - 1)
some_streams = st.lists(st.builds(Stream, st.integers(1, 2**22), st.just(1), st.integers(0, 2**20)), min_size=1)


@given(some_streams, st.integers(1, 5), st.data())
def test_every_line_of_any_batch_is_right(streams: list[Stream], num_args: int, data: Any) -> None:
    row = st.tuples(words, st.integers(0, len(streams) - 1), st.integers(0, 2**32 - 1), st.tuples(*[words] * num_args))
    rows = data.draw(st.lists(row, max_size=20))
    assert format_lines(batch(rows, num_args), streams).decode() == "".join(expected(row, streams) for row in rows)


def test_batches_of_any_size_are_written_in_order(tmp_path: Path) -> None:
    events = np.zeros(40_000, event_dtype(1))
    events["index"] = np.arange(40_000)
    sink = LogSink(Output.open(tmp_path / "log"))
    sink.write(events, [Stream(1, 1)])
    sink.flush()
    sink.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [int(line.partition("index=")[2].split()[0]) for line in lines] == list(range(40_000))


def test_a_reader_that_goes_away_is_a_failure_of_the_sink() -> None:
    read, write = os.pipe()
    sink = LogSink(Output(write, "the log"))
    os.close(read)
    with pytest.raises(SinkError, match="the log"):
        sink.write(np.zeros(1, event_dtype(1)), [Stream(1, 1)])
    sink.close()
