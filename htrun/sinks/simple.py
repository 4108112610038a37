"""QEMU's ``simple`` trace, version 4: binary, in the host's byte order, for ``scripts/simpletrace.py`` of QEMU.

The file begins with three u64: all ones, a magic number, and 4. Records follow. Each record begins with a u64, the
type:

- 0, a name: u64 id, u32 length, the name
- 1, an event: u64 id, u64 time in ns, u32 length (from the id on), u32 pid, the arguments as u64

(QEMU: trace/simple.c.) The arguments of an event are ``cpu`` (the guest thread's number), and then the event's fields
as in the log. A second file, ``PATH.trace-events-all``, contains the names of events and fields for simpletrace.py::

    simpletrace.py trace.simple.trace-events-all trace.simple

Times are ns since the epoch. QEMU's own times count from the machine's start.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.events.definitions import EVENTS, SCHED_EVENTS
from htrun.events.records import words_of
from htrun.events.shapes import Shape, Shapes
from htrun.events.sink import FormatSink
from htrun.sinks.columns import bytes_of
from htrun.sinks.text import new_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.sinks.facts import TraceFacts
    from htrun.sinks.output import Output

_HEADER_ID = 0xFFFFFFFFFFFFFFFF
_MAGIC = 0xF2B177CB0AA429B4
_VERSION = 4
_NAME, _EVENT = 0, 1
_DROPPED_ID = 0xFFFFFFFFFFFFFFFE
_EVENT_HEADER = struct.Struct("=QQII")
"""The part of an event before its arguments: the id, the time, the length, and the pid. The length includes the
arguments."""
_BATCH = 1 << 13
_DESCRIBED = (*EVENTS, *SCHED_EVENTS)
"""The kinds of events in the file of names. The id of a kind is its index."""


class SimpleSink(FormatSink):
    """Writes events to ``output``, and closes ``output`` at the end. ``num_args``: the number of arguments of a
    ``guest_hypertrace`` event."""

    def __init__(self, output: Output, num_args: int) -> None:
        super().__init__(output.name)
        self._output = output
        # The user's names of events are not used, since QEMU's scripts know only QEMU's names.
        self._shapes = Shapes(num_args)
        self._head = struct.pack("=QQQ", _HEADER_ID, _MAGIC, _VERSION) + _names()

    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        self._write_head()
        for start in range(0, len(events), _BATCH):
            batch = events[start : start + _BATCH]
            parts = [(rows, _records(shape, batch[rows], streams)) for shape, rows in self._shapes.split(batch)]
            self._output.write(bytes_of(parts, len(batch)))

    def dropped(self, count: int, time: int) -> None:
        """Report that ``count`` events were lost up to ``time`` (ns since the epoch). Raises `SinkError`."""
        size = _EVENT_HEADER.size + 8
        header = struct.pack("=Q", _EVENT) + _EVENT_HEADER.pack(_DROPPED_ID, time, size, 0)
        with self._attempt():
            self._write_head()
            self._output.write(header + struct.pack("=Q", count))

    def _finish(self) -> None:
        """Write the head, if it has not been written yet: a trace without events must be valid, too."""
        self._write_head()

    def _release(self) -> None:
        self._output.close()

    def _write_head(self) -> None:
        head, self._head = self._head, b""
        self._output.write(head)


def open_sink(path: Path, facts: TraceFacts) -> SimpleSink:
    """A sink that writes a trace to the file ``path``. The trace-events file is in the same directory. Raises
    `HtrunError`."""
    output = new_output(path)
    described = path.with_name(path.name + ".trace-events-all")
    if path.is_file() and not path.is_symlink():
        try:
            described.write_text(trace_events(facts.num_args))
        except OSError as error:
            raise HtrunError(f"cannot write {described}: {error.strerror}") from error
    return SimpleSink(output, facts.num_args)


def trace_events(num_args: int) -> str:
    """QEMU's description of all events (docs/devel/tracing.rst, "Trace events")."""
    lines = ["# The events in a trace of htrun's; see QEMU's docs/devel/tracing.rst"]
    for definition in _DESCRIBED:
        fields = definition.field_names(num_args)
        types = ["void *cpu", *(f"uint64_t {field}" for field in fields)]
        formats = ["cpu=%p", *(f'{field}=0x%016"PRIx64"' for field in fields)]
        lines.append(f'{definition.name}({", ".join(types)}) "{" ".join(formats)}"')
    return "\n".join(lines) + "\n"


def _names() -> bytes:
    return b"".join(
        struct.pack("=QQI", _NAME, number, len(definition.name)) + definition.name.encode()
        for number, definition in enumerate(_DESCRIBED)
    )


def _records(shape: Shape, events: Events, streams: Sequence[Stream]) -> NDArray[np.uint8]:
    """The records of ``events``, one row of bytes for each event. All ``events`` have the same ``shape``."""
    import numpy as np

    numbered, count = int(shape.number_column is not None), len(shape.arguments)
    words = 1 + numbered + count
    head = [("type", "u8"), ("id", "u8"), ("time", "u8"), ("length", "u4"), ("pid", "u4")]
    # The fields that all events of a thread share are set once for each thread, and copied with the whole record.
    own = np.zeros(len(streams), np.dtype([*head, ("words", "u8", (words,))]))
    own["type"] = _EVENT
    own["id"] = _DESCRIBED.index(shape.definition)
    own["length"] = _EVENT_HEADER.size + 8 * words
    own["pid"] = [stream.pid for stream in streams]
    own["words"][:, 0] = [stream.vcpu for stream in streams]
    octets = own.view(np.uint64).reshape(len(streams), -1).take(events["stream"], axis=0)
    records = octets.reshape(-1).view(own.dtype)
    records["time"] = events["time"]
    if shape.number_column is not None:
        records["words"][:, 1] = events[shape.number_column]
    if count:
        words_of(records, "words", 1 + numbered, count)[:] = words_of(events, "args", 0, count)
    return octets.view(np.uint8)
