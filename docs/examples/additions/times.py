"""A list of times: for each event a line with its time, in ns since the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.sinks.columns import decimal, side_by_side, text_of
from htrun.sinks.text import TextSink, new_output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.sinks.facts import TraceFacts


def open_sink(path: Path, _facts: TraceFacts) -> TextSink:
    """A list in the file ``path``. Raises `HtrunError`."""
    return TextSink(new_output(path), format_lines)


def format_lines(events: Events, _streams: Sequence[Stream]) -> bytes:
    """The lines of ``events`` (at least one)."""
    lines = side_by_side([decimal(events["time"]), b"\n"], len(events))
    return text_of([(slice(None), lines)], len(events))
