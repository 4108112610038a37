"""Perfetto's trace format, for ui.perfetto.dev and its trace processor: a protocol buffer of packets.

(perfetto: protos/perfetto/trace/trace_packet.proto, track_event/track_event.proto; docs "Synthetic Track Event".)

- each process has a track, with a track for each thread below it, and one for the thread as a vCPU
- named events with the phases begin and end are slices of the thread, or, with a key, of a track for each key
- counters are tracks of their process, one for each argument
- system calls are slices of a track below the thread; every other event is an instant of the thread
- arguments are debug annotations
- on request, system calls have their own names, and one more annotation, ``call``, has the decoded call

All packets of one kind of event have the same layout, so a batch is created column by column. Writing does not need the
package ``perfetto``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.call_texts import in_batches, split
from htrun.events.named import Phase
from htrun.events.shapes import Shape
from htrun.events.sink import FormatSink
from htrun.events.syscalls import names_of
from htrun.sinks import protobuf as pb
from htrun.sinks.columns import BATCH, bytes_of, side_by_side
from htrun.sinks.perfetto_calls import decoded_calls
from htrun.sinks.perfetto_names import Names
from htrun.sinks.perfetto_packets import SEQUENCE, SEQUENCE_FLAGS, SEQUENCE_ID, packets
from htrun.sinks.perfetto_tracks import Track, counter_uuid, key_tracks
from htrun.sinks.syscall_text import is_call
from htrun.sinks.text import new_output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.call_texts import BatchTexts
    from htrun.events.records import Events
    from htrun.events.shapes import Rows
    from htrun.events.stream import Stream
    from htrun.sinks.columns import Column
    from htrun.sinks.facts import TraceFacts
    from htrun.sinks.output import Output

_STATE_CLEARED = 1
_REALTIME = 1
"""``BuiltinClock``: CLOCK_REALTIME."""
_MAX_KEYS = 1 << 18
# The numbers of fields of Trace and of TracePacket.
_PACKET, _CLOCK_SNAPSHOT, _INTERNED_DATA, _TIMESTAMP_CLOCK_ID, _DEFAULTS, _TRACK_DESCRIPTOR = 1, 6, 12, 58, 59, 60
# The numbers of fields of TrackDescriptor.
_UUID, _NAME, _PROCESS, _THREAD, _PARENT, _COUNTER = 1, 2, 3, 4, 5, 8


class PerfettoSink(FormatSink):
    """Writes events to ``output``, and closes ``output`` at the end."""

    def __init__(self, output: Output, facts: TraceFacts) -> None:
        super().__init__(output.name, decodes=facts.decode)
        self._output = output
        self._shapes = facts.shapes
        self._names = Names()
        self._start = facts.start
        self._begun = False
        self._described = 0
        self._tracks: set[int] = set()
        self._places: list[int] = []
        self._threads: dict[tuple[int, int], int] = {}
        self._keys: set[int] = set()

    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        if not len(events):
            return
        self._begin(int(events["time"][0]))
        if names := self._names.learn_shapes(_INTERNED_DATA, self._shapes.all()):
            self._output.write(_packet(names))
        for number in range(self._described, len(streams)):
            self._output.write(self._thread(streams[number], number))
        self._described = len(streams)
        events = self._by_thread(events)
        for batch in in_batches(events, BATCH):
            self._write_batch(*split(batch), streams)

    def _write_batch(self, events: Events, found: BatchTexts, streams: Sequence[Stream]) -> None:
        parts: list[tuple[Rows, NDArray[np.uint8]]] = []
        for shape, rows in self._shapes.split(events):
            part = events[rows]
            self._output.write(self._new_tracks(shape, part, streams) + self._new_texts(shape, part))
            if self.decodes and is_call(shape.definition):
                self._output.write(self._new_calls(part))
                parts += decoded_calls(shape, rows, events, found, self._names)
            else:
                parts.append((rows, packets(shape, part, streams, self._names)))
        self._output.write(bytes_of(parts, len(events)))

    def _finish(self) -> None:
        """Write the clock and the names, if they have not been written yet: a trace without events must be valid,
        too."""
        self._begin(self._start)

    def _release(self) -> None:
        self._output.close()

    def _begin(self, now: int) -> None:
        """Write the clock (CLOCK_REALTIME) and the names, to which all packets refer."""
        if self._begun:
            return
        self._begun = True
        clock = pb.message(1, pb.number(1, _REALTIME), pb.number(2, now))
        snapshot = pb.message(_CLOCK_SNAPSHOT, clock, pb.number(2, _REALTIME))
        defaults = pb.message(_DEFAULTS, pb.number(_TIMESTAMP_CLOCK_ID, _REALTIME))
        flags = pb.number(SEQUENCE_FLAGS, _STATE_CLEARED)
        self._output.write(
            _packet(snapshot) + _packet(flags, defaults, self._names.learn_shapes(_INTERNED_DATA, self._shapes.all()))
        )

    def _by_thread(self, events: Events) -> Events:
        """``events`` with the stream number of each event replaced by the number of the first stream of its thread. An
        exec gives a thread a new stream, but a span may begin before the exec and end after it."""
        import numpy as np

        if len(self._threads) == len(self._places):
            return events
        events = events.copy()
        events["stream"] = np.array(self._places, np.uint32)[events["stream"]]
        return events

    def _thread(self, stream: Stream, number: int) -> bytes:
        """The tracks of a thread, and the track of its process if the process is new. For a known thread, its new
        name."""
        known = number
        number = self._threads.setdefault((stream.pid, stream.tid), number)
        self._places.append(number)
        renamed = number != known
        process, thread = Track.PROCESS.uuid(stream.pid), Track.THREAD.uuid(number)
        facts = pb.message(_PROCESS, pb.number(1, stream.pid), pb.text(6, stream.comm))
        ids = pb.message(_THREAD, pb.number(1, stream.pid), pb.number(2, stream.tid), pb.text(5, stream.comm))
        vcpu = pb.text(_NAME, f"vCPU {stream.vcpu}")
        return b"".join(
            [
                self._track(process, facts, again=renamed and stream.pid == stream.tid),
                self._track(thread, ids, pb.number(_PARENT, process), again=renamed),
                self._track(Track.VCPU.uuid(number), vcpu, pb.number(_PARENT, thread)),
                self._track(Track.SYSCALLS.uuid(number), pb.text(_NAME, "system calls"), pb.number(_PARENT, thread)),
            ]
        )

    def _track(self, uuid: int, *fields: list[Column], again: bool = False) -> bytes:
        """The packet that describes a track; empty if it has been written before.

        ``again``: whether the packet is written again, to replace the earlier description.
        """
        if uuid in self._tracks and not again:
            return b""
        self._tracks.add(uuid)
        return _packet(pb.message(_TRACK_DESCRIPTOR, pb.number(_UUID, uuid), *fields))

    def _new_tracks(self, shape: Shape, events: Events, streams: Sequence[Stream]) -> bytes:
        """The tracks that no earlier events have needed. All ``events`` have the same ``shape``."""
        if shape.named is not None and shape.named.phase is Phase.COUNTER:
            return self._counters(shape, events, streams)
        return self._keyed(shape, events)

    def _new_texts(self, shape: Shape, events: Events) -> bytes:
        """The texts that occur in ``events`` for the first time. All ``events`` have the same ``shape``."""
        texts = self._names.learn(_INTERNED_DATA, shape, events)
        return _packet(texts) if texts else b""

    def _new_calls(self, events: Events) -> bytes:
        """The names of the system calls that occur in ``events`` for the first time."""
        import numpy as np

        names = self._names.learn_events(_INTERNED_DATA, np.unique(names_of(events)).tolist())
        return _packet(names) if names else b""

    def _counters(self, shape: Shape, events: Events, streams: Sequence[Stream]) -> bytes:
        import numpy as np

        event = self._names.events[shape.title]
        return b"".join(
            self._track(
                counter_uuid(event, place, pid),
                pb.text(_NAME, f"{shape.title} {argument.name}"),
                pb.number(_PARENT, Track.PROCESS.uuid(pid)),
                pb.message(_COUNTER),
            )
            for pid in {streams[number].pid for number in np.unique(events["stream"])}
            for place, argument in enumerate(shape.arguments)
        )

    def _keyed(self, shape: Shape, events: Events) -> bytes:
        import numpy as np

        tracks = key_tracks(shape, events, self._names)
        new = set(np.unique(tracks).tolist()) - self._keys if tracks is not None else set()
        if not new:
            return b""
        if len(self._keys) > _MAX_KEYS:
            # A track may be described more than once. No set of all keys is kept, because it would grow with the trace.
            self._keys.clear()
        self._keys |= new
        uuids = pb.number(_UUID, pb.varints(np.array(list(new), np.uint64)))
        described = pb.message(_TRACK_DESCRIPTOR, uuids, pb.text(_NAME, shape.title))
        return side_by_side(pb.message(_PACKET, pb.number(SEQUENCE_ID, SEQUENCE), described), len(new)).tobytes()


def open_sink(path: Path, facts: TraceFacts) -> PerfettoSink:
    """A sink that writes a trace to the file ``path``. Raises `HtrunError`."""
    return PerfettoSink(new_output(path), facts)


def _packet(*fields: list[Column]) -> bytes:
    return pb.single(pb.message(_PACKET, pb.number(SEQUENCE_ID, SEQUENCE), *fields))
