"""Decoded system calls in a Perfetto trace.

A batch has one layout, but texts differ in length. So calls whose texts have about the same length are written
together, and shorter texts are padded (`htrun.sinks.protobuf.padded_texts`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.syscalls import names_of
from htrun.sinks import protobuf as pb
from htrun.sinks.perfetto_packets import call_packets
from htrun.sinks.syscall_text import plain_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.call_texts import BatchTexts
    from htrun.events.records import Events
    from htrun.events.shapes import Rows, Shape
    from htrun.sinks.perfetto_names import Names

_ROOM = 32
"""The step in bytes between the lengths by which texts are grouped."""
_STRING = 6
"""The number of a field of DebugAnnotation."""


def decoded_calls(
    shape: Shape, rows: Rows, events: Events, found: BatchTexts, names: Names
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """The packets of the ``events`` at ``rows``, and the positions of these events. The events must be calls or
    returns. ``found``: the texts to which the calls point. ``names``: must contain the names of the calls.
    """
    import numpy as np

    places = np.arange(len(events))[rows]
    own = events[rows]
    texts = plain_lines(shape.definition, own, found.of_rows(rows))
    titles = np.array([names.events[name] for name in names_of(own).tolist()], np.uint64)
    sizes = np.array([-(-len(text) // _ROOM) for text in texts])
    for size in np.unique(sizes).tolist():
        alike = np.flatnonzero(sizes == size)
        meaning = pb.padded_texts(_STRING, [texts[place] for place in alike.tolist()], size * _ROOM)
        yield places[alike], call_packets(shape, own[alike], names, titles[alike], meaning)
