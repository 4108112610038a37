"""Reads Perfetto traces with the protocol buffers of the package perfetto, packet by packet in the order of the
file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

_SOME = 1 << 20
"""The minimum number of bytes that are parsed together. A trace is not parsed as a whole, since its objects take ten
times the size of the file."""


@dataclass(frozen=True, slots=True)
class TrackEvent:
    """One event. ``type``: the name of its type, without the prefix TYPE_. ``track``: the description of its track.
    ``values``: its annotations by name; for a counter, only ``value``."""

    time: int
    type: str
    track: Any
    name: str
    values: dict[str, Any]


class Reader:
    """Resolves the names and tracks to which events refer. ``packets``: the packets read so far that are not events.
    ``tracks``: the descriptions of tracks, by number."""

    def __init__(self) -> None:
        self.packets: list[Any] = []
        self.tracks: dict[int, Any] = {}
        self._names: dict[str, dict[int, Any]] = {}

    def events(self, data: bytes) -> Iterator[TrackEvent]:
        """The events in ``data``, which consists of whole packets."""
        for packet in proto.Trace.FromString(data).packet:
            assert packet.trusted_packet_sequence_id == 1
            if packet.HasField("track_event"):
                yield self._event(packet)
                continue
            self.packets.append(packet)
            if packet.HasField("interned_data"):
                assert packet.trace_packet_defaults.timestamp_clock_id == 1
                for field, entries in packet.interned_data.ListFields():
                    self._names.setdefault(field.name, {}).update(
                        (entry.iid, entry.str.decode() if field.name.endswith("values") else entry.name)
                        for entry in entries
                    )
            if packet.HasField("track_descriptor"):
                self.tracks[packet.track_descriptor.uuid] = packet.track_descriptor

    def thread_of(self, track: Any) -> Any:
        """The description of the thread to which a track belongs: the track is the thread's own track, or its parent
        is."""
        return track.thread if track.HasField("thread") else self.tracks[track.parent_uuid].thread

    def _event(self, packet: Any) -> TrackEvent:
        event = packet.track_event
        type_ = proto.TrackEvent.Type.Name(event.type).removeprefix("TYPE_")
        track = self.tracks[event.track_uuid]
        if type_ == "COUNTER":
            value = event.double_counter_value if event.HasField("double_counter_value") else event.counter_value
            return TrackEvent(packet.timestamp, type_, track, track.name, {"value": value})
        assert packet.sequence_flags == 2
        values = {}
        for annotation in event.debug_annotations:
            kind = annotation.WhichOneof("value")
            value = getattr(annotation, kind)
            name = self._names["debug_annotation_names"][annotation.name_iid]
            values[name] = self._names["debug_annotation_string_values"][value] if kind == "string_value_iid" else value
        return TrackEvent(packet.timestamp, type_, track, self._names["event_names"][event.name_iid], values)


def pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a trace, in pieces that consist of whole packets."""
    data, start, position = path.read_bytes(), 0, 0
    while position < len(data):
        # A packet is field 1 of the trace: a tag, the length as a varint, and the bytes of the packet.
        assert data[position] == 0x0A
        length = shift = 0
        while True:
            position += 1
            length |= (data[position] & 0x7F) << shift
            shift += 7
            if data[position] < 0x80:
                break
        position += 1 + length
        if position - start >= _SOME:
            yield data[start:position]
            start = position
    assert position == len(data)
    yield data[start:]
