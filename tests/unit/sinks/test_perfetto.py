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

TYPES = {Phase.INSTANT: "INSTANT", Phase.BEGIN: "SLICE_BEGIN", Phase.END: "SLICE_END", Phase.COUNTER: "COUNTER"}
KINDS = ["INSTANT", "SLICE_BEGIN", "SLICE_END", "SLICE_BEGIN", "SLICE_END"]


class Trace:
    """A trace's packets with their names and tracks looked up, as a viewer does in the order of the file."""

    def __init__(self, data: bytes) -> None:
        self.packets = proto.Trace.FromString(data).packet
        self.tracks: dict[int, Any] = {}
        self.events: list[tuple[int, str, Any, str, dict[str, Any]]] = []
        self._names: dict[str, dict[int, Any]] = {}
        for packet in self.packets:
            assert packet.trusted_packet_sequence_id == 1
            if packet.HasField("interned_data"):
                assert packet.sequence_flags == 1
                assert packet.trace_packet_defaults.timestamp_clock_id == 1
                for field, entries in packet.interned_data.ListFields():
                    self._names[field.name] = {
                        entry.iid: entry.str.decode() if field.name.endswith("values") else entry.name
                        for entry in entries
                    }
            if packet.HasField("track_descriptor"):
                self.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            if packet.HasField("track_event"):
                self.events.append(self._event(packet))

    def _event(self, packet: Any) -> tuple[int, str, Any, str, dict[str, Any]]:
        event = packet.track_event
        type_ = proto.TrackEvent.Type.Name(event.type).removeprefix("TYPE_")
        track = self.tracks[event.track_uuid]
        if type_ == "COUNTER":
            value = event.double_counter_value if event.HasField("double_counter_value") else event.counter_value
            return packet.timestamp, type_, track, track.name, {"value": value}
        assert packet.sequence_flags == 2
        values = {}
        for annotation in event.debug_annotations:
            kind = annotation.WhichOneof("value")
            value = getattr(annotation, kind)
            name = self._names["debug_annotation_names"][annotation.name_iid]
            values[name] = self._names["debug_annotation_string_values"][value] if kind == "string_value_iid" else value
        return packet.timestamp, type_, track, self._names["event_names"][event.name_iid], values


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
    """A value that can be compared, NaN and -0.0 as well."""
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
    found = iter(trace.events)
    for row in some:
        named = NAMED.lookup(row.args[0]) if row.kind == 0 else None
        if named is not None and named.phase is Phase.COUNTER:
            for argument, word in zip(named.arguments, row.args[1:], strict=False):
                time, type_, track, name, value = next(found)
                assert (time, type_, name) == (row.time, "COUNTER", f"depth {argument.name}")
                assert trace.tracks[track.parent_uuid].process.pid == STREAMS[row.stream].pid
                exact = argument.value(word)
                assert isinstance(exact, (int, float))
                assert bits(float(value["value"])) == bits(float(exact))
            continue
        time, type_, track, name, value = next(found)
        assert (time, name) == (row.time, named.name if named else row.name)
        assert type_ == (TYPES[named.phase] if named else KINDS[row.kind])
        assert {key: bits(given_value) for key, given_value in value.items()} == values(row)
        if named is None or named.key is None:
            thread = track if track.HasField("thread") else trace.tracks[track.parent_uuid]
            assert thread.thread.tid == STREAMS[row.stream].tid
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
    [one, two] = write([Row(10**18, 0, 0, 0, (begin, 0, 77, 0)), Row(10**18 + 1, 1, 0, 0, (end, 77, 0, 0))]).events
    [other, _] = write([Row(10**18, 0, 0, 0, (begin, 0, 78, 0)), Row(10**18 + 1, 1, 0, 0, (end, 78, 0, 0))]).events
    assert one[2].uuid == two[2].uuid != other[2].uuid
    assert one[2].name == "job"


def test_enumerations_have_labels_where_they_can() -> None:
    kinds = [0, 1, 2, 2**64 - 1]
    trace = write([Row(10**18 + kind % 5, 0, 0, 0, (1, 0, kind, 0)) for kind in kinds])
    assert [event[4]["kind"] for event in trace.events] == ["READ", "WRITE", 2, "MINUS"]
    assert NAMED.events[0].arguments[1].type is ArgumentType.ENUM


def test_a_trace_of_no_events_tells_its_clock() -> None:
    trace = write([])
    assert trace.packets[0].clock_snapshot.primary_trace_clock == 1
    assert not trace.events


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_padded_varints_hold_any_word(words: list[int]) -> None:
    padded = varints(np.array(words, np.uint64))
    for word, octets in zip(words, padded, strict=True):
        assert octets.tobytes() == varint(word, 10)
        message = proto.TrackDescriptor.FromString(b"\x08" + octets.tobytes())
        assert message.uuid == word
        assert proto.TrackDescriptor.FromString(b"\x08" + varint(word)).uuid == word
