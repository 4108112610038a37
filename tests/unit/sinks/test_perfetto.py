"""Perfetto traces, read back by the protocol buffers of the package perfetto."""

from __future__ import annotations

import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

from htrun.events.arguments import ArgumentType
from htrun.events.named import Phase
from htrun.sinks.facts import TraceFacts
from htrun.sinks.perfetto import open_sink
from htrun.sinks.protobuf import varint, varints
from tests.support.batches import NAMED, NUM_ARGS, STREAMS, Row, batch, rows
from tests.support.perfetto import Reader

TYPES = {Phase.INSTANT: "INSTANT", Phase.BEGIN: "SLICE_BEGIN", Phase.END: "SLICE_END", Phase.COUNTER: "COUNTER"}
KINDS = ["INSTANT", "SLICE_BEGIN", "SLICE_END", "SLICE_BEGIN", "SLICE_END"]


class Trace(Reader):
    """A whole trace. ``found``: all its events."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.found = list(self.events(data))


def write(some: list[Row]) -> Trace:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "trace.pftrace"
        sink = open_sink(path, TraceFacts(NUM_ARGS, NAMED))
        middle = len(some) // 2
        for part in (some[:middle], some[middle:]):
            sink.write(batch(part), STREAMS)
        sink.close()
        sink.close()
        return Trace(path.read_bytes())


def bits(value: Any) -> Any:
    """A value that can be compared, even if it is NaN or -0.0."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def values(row: Row) -> dict[str, Any]:
    named = NAMED.lookup(row.args[0]) if row.kind == 0 else None
    if named is not None:
        pairs = zip(named.arguments, row.args[1:], strict=False)
        return {argument.name: bits(argument.value(word)) for argument, word in pairs}
    index = {"num": row.index} if "syscall" in row.name else {} if row.kind else {"index": row.index}
    return index | row.fields


@settings(max_examples=50, deadline=None)
@given(rows())
def test_every_event_is_read_back(some: list[Row]) -> None:
    trace = write(some)
    found = iter(trace.found)
    for row in some:
        named = NAMED.lookup(row.args[0]) if row.kind == 0 else None
        if named is not None and named.phase is Phase.COUNTER:
            for argument, word in zip(named.arguments, row.args[1:], strict=False):
                event = next(found)
                assert (event.time, event.type, event.name) == (row.time, "COUNTER", f"depth {argument.name}")
                assert trace.tracks[event.track.parent_uuid].process.pid == STREAMS[row.stream].pid
                exact = argument.value(word)
                assert isinstance(exact, (int, float))
                assert bits(float(event.values["value"])) == bits(float(exact))
            continue
        event = next(found)
        assert (event.time, event.name) == (row.time, named.name if named else row.name)
        assert event.type == (TYPES[named.phase] if named else KINDS[row.kind])
        assert {key: bits(value) for key, value in event.values.items()} == values(row)
        if named is None or named.key is None:
            assert trace.thread_of(event.track).tid == STREAMS[row.stream].tid
    assert next(found, None) is None


def test_threads_hang_below_their_processes() -> None:
    trace = write([Row(10**18, 0, 0, 3, ())])
    threads = [track for track in trace.tracks.values() if track.HasField("thread")]
    assert [track.thread.thread_name for track in threads] == [stream.comm for stream in STREAMS]
    assert [trace.tracks[track.parent_uuid].process.pid for track in threads] == [stream.pid for stream in STREAMS]
    below = {track.name for track in trace.tracks.values() if track.parent_uuid == threads[0].uuid}
    assert below == {"vCPU 0", "system calls"}


def test_keys_pair_across_threads() -> None:
    begin, end = NAMED.events[2].id, NAMED.events[3].id
    [one, two] = write([Row(10**18, 0, 0, 0, (begin, 0, 77, 0)), Row(10**18 + 1, 1, 0, 0, (end, 77, 0, 0))]).found
    [other, _] = write([Row(10**18, 0, 0, 0, (begin, 0, 78, 0)), Row(10**18 + 1, 1, 0, 0, (end, 78, 0, 0))]).found
    assert one.track.uuid == two.track.uuid != other.track.uuid
    assert one.track.name == "job"


def test_enumerations_have_labels_where_they_can() -> None:
    kinds = [0, 1, 2, 2**64 - 1]
    trace = write([Row(10**18 + kind % 5, 0, 0, 0, (1, 0, kind, 0)) for kind in kinds])
    assert [event.values["kind"] for event in trace.found] == ["READ", "WRITE", 2, "MINUS"]
    assert NAMED.events[0].arguments[1].type is ArgumentType.ENUM


def test_a_trace_of_no_events_tells_its_clock() -> None:
    trace = write([])
    assert trace.packets[0].clock_snapshot.primary_trace_clock == 1
    assert not trace.found


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_padded_varints_hold_any_word(words: list[int]) -> None:
    padded = varints(np.array(words, np.uint64))
    for word, octets in zip(words, padded, strict=True):
        assert octets.tobytes() == varint(word, 10)
        message = proto.TrackDescriptor.FromString(b"\x08" + octets.tobytes())
        assert message.uuid == word
        assert proto.TrackDescriptor.FromString(b"\x08" + varint(word)).uuid == word
