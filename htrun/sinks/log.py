"""QEMU's ``log`` format: one line of text for each event.

::

    TID@SECONDS.MICROSECONDS:guest_hypertrace cpu=0x0  index=0 arg1=0x000000000000cafe arg2=0x000000000000babe

After ``cpu=``, QEMU (trace/log backend of 7.2) prints a pointer; htrun prints the guest thread's number. If the user
has named an event, the line has the user's names of the event and of its arguments. If the event is not an instant, its
phase comes before all names that a user can choose::

    TID@SECONDS.MICROSECONDS:job cpu=0x0  phase=begin index=0 size=4096
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.definitions import HYPERTRACE
from htrun.events.named import Phase
from htrun.events.shapes import Shape, Shapes
from htrun.sinks import syscall_text
from htrun.sinks.columns import decimal, digits, hexadecimal, of_streams, side_by_side
from htrun.sinks.shaped_text import text_by_shape
from htrun.sinks.text import TextSink, new_output
from htrun.sinks.values import LOG, texts

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
    from htrun.sinks.output import Output

_NS_PER_US = 1000
_US_PER_SECOND = 1_000_000


class LogSink(TextSink):
    """Writes events as lines to ``output``, and closes ``output`` at the end. ``shapes``, ``decode``: see
    `format_lines`."""

    def __init__(self, output: Output, shapes: Shapes | None = None, *, decode: bool = False) -> None:
        super().__init__(
            output, lambda events, streams: format_lines(events, streams, shapes, decode=decode), decodes=decode
        )


def open_sink(path: Path, facts: TraceFacts) -> LogSink:
    """A sink that writes a log to the file ``path``. Raises `HtrunError`."""
    return LogSink(new_output(path), facts.shapes, decode=facts.decode)


def format_lines(
    events: Events, streams: Sequence[Stream], shapes: Shapes | None = None, *, decode: bool = False
) -> bytes:
    """The lines of ``events``, each with its line end.

    ``shapes``: the shapes of the events; if None, all arguments are shown, without the user's names. ``decode``:
    whether system calls are decoded.
    """
    if not len(events):
        return b""
    shapes = shapes or Shapes(events["args"].shape[1])
    return text_by_shape(events, shapes, lambda shape, own, found: _lines(shape, own, streams, found, decode=decode))


def _lines(
    shape: Shape, events: Events, streams: Sequence[Stream], found: BatchTexts, *, decode: bool
) -> NDArray[np.uint8]:
    import numpy as np

    microseconds = events["time"] // np.uint64(_NS_PER_US)
    seconds, fraction = np.divmod(microseconds, np.uint64(_US_PER_SECOND))
    columns: list[Column] = [
        of_streams(events["stream"], streams, lambda stream: b"%d@" % stream.tid),
        decimal(seconds),
        b".",
        digits(fraction, 6),
        f":{shape.title} cpu=0x".encode(),
        of_streams(events["stream"], streams, lambda stream: b"%x" % stream.vcpu),
    ]
    if decode and syscall_text.is_call(shape.definition):
        return side_by_side([*columns, b"  ", syscall_text.lines(shape.definition, events, found), b"\n"], len(events))
    if shape.definition is HYPERTRACE:
        phase = "" if shape.phase is Phase.INSTANT else f" phase={shape.phase.value}"
        columns += [f" {phase} index=".encode(), decimal(events["index"])]
    elif shape.number_column is not None:
        # The format of ``num`` is that of QEMU's trace-events: num=0x%016"PRIx64".
        columns += [f"  {shape.number_column}=0x".encode(), hexadecimal(events[shape.number_column])]
    for argument, words in shape.words(events):
        columns += [f" {argument.name}=".encode(), *texts(argument, words, LOG)]
    columns.append(b"\n")
    return side_by_side(columns, len(events))
