"""JSON lines: one line with a JSON object for each event.

::

    {"time_ns":1473096085744211999,"pid":1,"tid":2,"vcpu":0,"comm":"app","event":"guest_hypertrace","index":0,"args":{"arg1":51966}}

If the user has named an event, it also has ``name`` and ``phase``, and the declared arguments are in ``args``. Numbers
have all their digits; NaN and infinities are strings. A system call or a return has ``num`` and ``arch`` instead of
``index``, and on request ``syscall``, the decoded call (`htrun.sinks.syscall_text`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from htrun.events.call_texts import split
from htrun.events.shapes import Shape, Shapes
from htrun.sinks import syscall_text
from htrun.sinks.columns import decimal, of_streams, side_by_side, text_of
from htrun.sinks.text import TextSink, new_output
from htrun.sinks.values import JSON, texts

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


_SHOWN = ("index", "num", "arch")
"""The columns of numbers that an event may have in addition to its arguments."""


def open_sink(path: Path, facts: TraceFacts) -> TextSink:
    """A sink that writes JSON lines to the file ``path``. Raises `HtrunError`."""
    shapes = facts.shapes
    return TextSink(
        new_output(path),
        lambda events, streams: format_lines(events, streams, shapes, decode=facts.decode),
        decodes=facts.decode,
    )


def format_lines(
    events: Events,
    streams: Sequence[Stream],
    shapes: Shapes,
    *,
    decode: bool = False,
    ids: NDArray[np.uint64] | None = None,
) -> bytes:
    """The lines of ``events`` (at least one event), each with its line end. ``decode``: whether system calls are also
    decoded. ``ids``: the numbers to show as ``id``, one for each event that is not a text of a call."""
    events, found = split(events)
    parts = []
    for shape, rows in shapes.split(events):
        own = events[rows]
        head: list[Column] = [b"{"] if ids is None else [b'{"id":', decimal(ids[rows]), b","]
        columns = _columns(shape, own, streams, found.of_rows(rows), decode=decode)
        parts.append((rows, side_by_side([*head, *columns], len(own))))
    return text_of(parts, len(events))


def _columns(
    shape: Shape, events: Events, streams: Sequence[Stream], found: BatchTexts, *, decode: bool
) -> list[Column]:
    columns: list[Column] = [
        b'"time_ns":',
        decimal(events["time"]),
        of_streams(events["stream"], streams, _stream),
        _title(shape),
    ]
    for name in _SHOWN:
        if name in shape.definition.columns:
            columns += [f',"{name}":'.encode(), decimal(events[name])]
    if shape.arguments:
        separator = b',"args":{'
        for argument, words in shape.words(events):
            columns += [separator + f'"{argument.name}":'.encode(), *texts(argument, words, JSON)]
            separator = b","
        columns.append(b"}")
    if decode and syscall_text.is_call(shape.definition):
        columns += [b',"syscall":', syscall_text.objects(shape.definition, events, found)]
    return [*columns, b"}\n"]


def _stream(stream: Stream) -> bytes:
    facts = f',"pid":{stream.pid},"tid":{stream.tid},"vcpu":{stream.vcpu},"comm":{json.dumps(stream.comm)}'
    return facts.encode()


def _title(shape: Shape) -> bytes:
    text = f',"event":"{shape.definition.name}"'
    if shape.named is not None:
        text += f',"name":{json.dumps(shape.named.name)},"phase":"{shape.named.phase.value}"'
    return text.encode()
