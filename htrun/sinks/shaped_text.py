"""Formats events of many shapes as text. Events of the same shape are formatted together. The result contains all
events in their original order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events import call_texts
from htrun.sinks.columns import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.call_texts import BatchTexts
    from htrun.events.records import Events
    from htrun.events.shapes import Shape, Shapes

    Lines = Callable[[Shape, Events, BatchTexts], NDArray[np.uint8]]
    """A function that creates the lines of events of one shape: a row of bytes for each event. Some of these events may
    be calls with texts."""


def text_by_shape(events: Events, shapes: Shapes, lines: Lines) -> bytes:
    """The text of ``events`` (at least one event). The texts of system calls are in the lines of their calls."""
    events, found = call_texts.split(events)
    parts = [(rows, lines(shape, events[rows], found.of_rows(rows))) for shape, rows in shapes.split(events)]
    return text_of(parts, len(events))
