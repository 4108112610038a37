"""Chrome's trace event format: JSON for chrome://tracing, Perfetto's viewer, Speedscope and others.

(Google, "Trace Event Format".) The format's times are microseconds in a float, which is too imprecise for nanoseconds
since 1970. So the times count from the whole second before the first event, and ``otherData`` contains this second.

The begin and the end of a span are paired within a thread (``B``, ``E``), or, if they have a key, by the key (``b``,
``e``). System calls, and the start and exit of threads, are also paired by a key. So if the begin of a span was not
recorded, its end does not close another span.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from htrun.events.definitions import CPU_ENTER, CPU_EXIT, USER_SYSCALL, USER_SYSCALL_RET
from htrun.events.named import Phase
from htrun.events.shapes import Shape
from htrun.events.syscalls import names_of
from htrun.sinks import syscall_text
from htrun.sinks.columns import decimal, digits, from_texts, hexadecimal, of_streams, side_by_side
from htrun.sinks.shaped_text import text_by_shape
from htrun.sinks.text import TextSink, new_output
from htrun.sinks.values import JSON, VIEWER, texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.call_texts import BatchTexts
    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.sinks.columns import Column
    from htrun.sinks.facts import TraceFacts

_SECOND = 1_000_000_000
_ASYNC = {
    USER_SYSCALL: ("b", "system call"),
    USER_SYSCALL_RET: ("e", "system call"),
    CPU_ENTER: ("b", "guest CPU"),
    CPU_EXIT: ("e", "guest CPU"),
}
"""QEMU's events that begin or end a span. The values are the letter of the event's phase, and the span's category."""
_PHASES = {Phase.INSTANT: "i", Phase.BEGIN: "B", Phase.END: "E", Phase.COUNTER: "C"}


def open_sink(path: Path, facts: TraceFacts) -> TextSink:
    """A trace in the file ``path``. Raises `HtrunError`."""
    trace = ChromeTrace(facts)
    return TextSink(new_output(path), trace.format, head=trace.head, tail=b"]}\n", decodes=facts.decode)


class ChromeTrace:
    """Creates the text of a trace. Call `head` once, then `format` for each batch."""

    def __init__(self, facts: TraceFacts) -> None:
        self._facts = facts
        self._shapes = facts.shapes
        self._base = facts.start
        self._described = 0
        self._separator = b""

    def head(self, first: int | None) -> bytes:
        """The text before the first event. ``first``: the time of the first event in ns since the epoch; None if there
        is no event."""
        self._base = (self._facts.start if first is None else first) // _SECOND * _SECOND
        other = {**self._facts.environment, "start_time_ns": str(self._base)}
        return f'{{"displayTimeUnit":"ns","otherData":{json.dumps(other)},"traceEvents":[\n'.encode()

    def format(self, events: Events, streams: Sequence[Stream]) -> bytes:
        """The lines with the names of the threads that are new in ``streams``, then the text of ``events`` (at least
        one event)."""
        lines = text_by_shape(events, self._shapes, lambda shape, own, found: self._lines(shape, own, streams, found))
        names = [_names(stream) for stream in streams[self._described :]]
        self._described = len(streams)
        text = b"".join(names) + lines
        # Each line begins with the separator, because at the end of a line it is unknown whether another line follows.
        start = 1 if not self._separator else 0
        self._separator = b","
        return text[start:]

    def _lines(self, shape: Shape, events: Events, streams: Sequence[Stream], found: BatchTexts) -> NDArray[np.uint8]:
        decode = self._facts.decode and syscall_text.is_call(shape.definition)
        meaning: list[Column] = []
        if decode:
            meaning = [b',"syscall":', syscall_text.objects(shape.definition, events, found)]
        columns: list[Column] = [
            *_title(shape, names_of(events) if decode else None),
            of_streams(events["stream"], streams, lambda stream: b'"pid":%d,"tid":%d' % (stream.pid, stream.tid)),
            *self._time(events),
            *_identity(shape, events, streams),
            *_arguments(shape, events, meaning),
            b"}\n",
        ]
        return side_by_side(columns, len(events))

    def _time(self, events: Events) -> list[Column]:
        import numpy as np

        since = (events["time"] - np.uint64(self._base)).view(np.int64)
        # An event can be older than the base of the times, because records of its thread may have been read late.
        minus = np.where(since < 0, np.uint8(ord("-")), np.uint8(0))[:, None]
        microseconds, nanoseconds = np.divmod(np.abs(since).view(np.uint64), np.uint64(1000))
        return [b',"ts":', minus, decimal(microseconds), b".", digits(nanoseconds, 3)]


def _title(shape: Shape, calls: NDArray[np.str_] | None) -> list[Column]:
    """The title of each event. ``calls``: the names of the events' system calls; None if system calls are not
    decoded."""
    phase, name = _ASYNC.get(shape.definition, ("i", shape.title))
    category = "guest"
    if shape.named is not None:
        category = "named"
        phase = _PHASES[shape.named.phase]
        phase = phase.lower() if shape.named.key is not None else phase
    scope = '"s":"t",' if phase == "i" else ""
    named: Column = json.dumps(name).encode()
    if calls is not None:
        named = from_texts([json.dumps(call).encode() for call in calls.tolist()])
    return [b',{"name":', named, f',"cat":"{category}","ph":"{phase}",{scope}'.encode()]


def _identity(shape: Shape, events: Events, streams: Sequence[Stream]) -> list[Column]:
    """The id that pairs a begin with its end."""
    if shape.definition in _ASYNC:
        return [b',"id":"', of_streams(events["stream"], streams, lambda stream: b"%d" % stream.tid), b'"']
    place = shape.named.key_place if shape.named is not None else None
    if place is None or place >= len(shape.arguments):
        return []
    return [b',"id":"0x', hexadecimal(events["args"][:, shape.first + place]), b'"']


def _arguments(shape: Shape, events: Events, meaning: list[Column]) -> list[Column]:
    columns: list[Column] = []
    if shape.named is None and shape.number_column is not None:
        columns += [f',"{shape.number_column}":'.encode(), decimal(events[shape.number_column])]
    counts = shape.named is not None and shape.named.phase is Phase.COUNTER
    for argument, words in shape.words(events):
        columns += [f',"{argument.name}":'.encode(), *texts(argument, words, JSON if counts else VIEWER)]
    columns += meaning
    if not columns:
        return []
    first = columns[0]
    assert isinstance(first, bytes)
    return [b',"args":{' + first.removeprefix(b","), *columns[1:], b"}"]


def _names(stream: Stream) -> bytes:
    """The lines that name a thread and its process."""
    thread = json.dumps(f"{stream.comm} (vCPU {stream.vcpu})")
    ids = f'"ph":"M","pid":{stream.pid},"tid":{stream.tid}'
    text = f',{{"name":"thread_name",{ids},"args":{{"name":{thread}}}}}\n'
    if stream.vcpu == 0:
        text += f',{{"name":"process_name",{ids},"args":{{"name":{json.dumps(stream.comm)}}}}}\n'
    return text.encode()
