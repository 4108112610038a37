"""CSV as in RFC 4180: a header line, fields that are separated by commas, and lines that end with CR LF.

The columns are the same for every event: ``time_ns,pid,tid,vcpu,comm,event,name,phase,index,num,arch,arg1,...``. If an
event does not have a value, the field is empty. Argument N is in the column ``argN``, as text of the argument's type.
The result of a system call is in ``arg1``. On request there is one more column, ``syscall``, which contains the decoded
call (`htrun.sinks.syscall_text`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.definitions import SYSCALL_ARGS
from htrun.events.shapes import Shape, Shapes
from htrun.sinks import syscall_text
from htrun.sinks.columns import decimal, from_texts, of_streams, side_by_side
from htrun.sinks.shaped_text import text_by_shape
from htrun.sinks.text import TextSink, new_output
from htrun.sinks.values import CSV, comma_separated, texts

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

_FACTS = ("time_ns", "pid", "tid", "vcpu", "comm", "event", "name", "phase")
_NUMBERS = ("index", "num", "arch")


def open_sink(path: Path, facts: TraceFacts) -> TextSink:
    """CSV in the file ``path``. Raises `HtrunError`."""
    shapes = facts.shapes
    return TextSink(
        new_output(path),
        lambda events, streams: format_lines(events, streams, shapes, decode=facts.decode),
        head=lambda _: head(shapes, decode=facts.decode),
        decodes=facts.decode,
    )


def head(shapes: Shapes, *, decode: bool = False) -> bytes:
    """The header line.

    The line always has enough columns for the arguments of a system call, since it is written before the events are
    known.
    """
    arguments = [f"arg{number}" for number in range(1, _argument_columns(shapes) + 1)]
    return ",".join((*_FACTS, *_NUMBERS, *arguments, *(["syscall"] if decode else []))).encode() + b"\r\n"


def format_lines(events: Events, streams: Sequence[Stream], shapes: Shapes, *, decode: bool = False) -> bytes:
    """The lines of ``events`` (at least one event), each with its line end. ``decode``: whether system calls are also
    decoded."""
    count = _argument_columns(shapes)

    def lines(shape: Shape, own: Events, found: BatchTexts) -> NDArray[np.uint8]:
        meaning = [b",", *_meaning(shape, own, found)] if decode else []
        return side_by_side([*_fields(shape, own, streams, count), *meaning, b"\r\n"], len(own))

    return text_by_shape(events, shapes, lines)


def field(text: str) -> bytes:
    """``text`` as a field of CSV."""
    return comma_separated(text).encode(errors="replace")


def _argument_columns(shapes: Shapes) -> int:
    return max(shapes.num_args, SYSCALL_ARGS, *(shape.first + len(shape.arguments) for shape in shapes.all()))


def _meaning(shape: Shape, events: Events, found: BatchTexts) -> list[Column]:
    if not syscall_text.is_call(shape.definition):
        return []
    lines = syscall_text.plain_lines(shape.definition, events, found)
    return [from_texts([comma_separated(line.decode()).encode() for line in lines])]


def _fields(shape: Shape, events: Events, streams: Sequence[Stream], count: int) -> list[Column]:
    columns: list[Column] = [decimal(events["time"]), of_streams(events["stream"], streams, _stream), _title(shape)]
    for name in _NUMBERS:
        columns += [b",", *([decimal(events[name])] if name in shape.definition.columns else [])]
    if shape.named is not None:
        columns += [b",", decimal(events["args"][:, 0])]
    for argument, words in shape.words(events):
        columns += [b",", *texts(argument, words, CSV)]
    absent = count - shape.first - len(shape.arguments)
    return [*columns, b"," * absent]


def _stream(stream: Stream) -> bytes:
    return b",%d,%d,%d,%b," % (stream.pid, stream.tid, stream.vcpu, field(stream.comm))


def _title(shape: Shape) -> bytes:
    named = shape.named
    name, phase = (named.name, named.phase.value) if named is not None else ("", "")
    return b"%b,%b,%b" % (shape.definition.name.encode(), field(name), phase.encode())
