"""`TraceSpans`, which holds all spans of a trace in memory. `Trace.spans` returns it.

::

    spans = trace.spans()
    rows = spans.to_numpy()                       # a structured array, in the order of their begins
    slow = rows[rows["duration"] > 1_000_000]
    [spans.names[row["name"]] for row in slow]
    spans.to_arrow(), spans.to_pandas()           # the columns of hypertrace query's table spans
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from htrun.analysis.timing.first_events import FirstEvents
from htrun.analysis.timing.spans import Pairer
from htrun.events.records import chosen, joined, taken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow
    from numpy.typing import NDArray

    from htrun.analysis.timing.spans import Spans, Unpaired
    from htrun.events.losses import Loss
    from htrun.events.named import NamedEvents
    from htrun.events.records import Events
    from htrun.events.stream import Stream


class SpanSource(Protocol):
    """The part of the interface of `Trace` that this module uses."""

    names: NamedEvents | None

    @property
    def num_args(self) -> int:
        """The maximum number of arguments in a row of `events`."""

    @property
    def streams(self) -> Sequence[Stream]:
        """The threads."""

    @property
    def losses(self) -> Sequence[Loss]:
        """The losses of events."""

    @property
    def duration(self) -> tuple[int, int] | None:
        """The times of the first and the last event."""

    def events(self) -> Iterator[Events]:
        """Batches of events."""


class TraceSpans:
    """The spans of ``trace``.

    ``names``: the names of spans; the field ``name`` of a row is an index into ``names``. ``unpaired``: the numbers of
    begins and ends without a partner, by name.
    """

    def __init__(self, trace: SpanSource) -> None:
        self._trace = trace
        trapped = FirstEvents([stream.pid for stream in trace.streams])
        pairer = Pairer(trace.names, trace.losses, num_args=trace.num_args, first_events=trapped, nesting=True)
        found = [chosen(spans, pairer.names.are_own(spans)) for spans in map(pairer.feed, trace.events())]
        # Without events, an empty array provides the type of the rows.
        spans = joined(found) if found else pairer.none()
        self._spans: Spans = taken(spans, np.argsort(spans["begin_number"]))
        self._keyed = pairer.keyed
        self.names: tuple[str, ...] = pairer.names.own
        self.unpaired: Mapping[str, Unpaired] = pairer.finish()

    def __len__(self) -> int:
        """The number of spans."""
        return len(self._spans)

    def to_numpy(self) -> NDArray[np.void]:
        """An array with one row for each span, in the order of the spans' begins. `row_dtype` describes the fields."""
        rows = np.empty(len(self), row_dtype(self._trace.num_args))
        for field, source in _SOURCES.items():
            rows[field] = self._spans[source]
        rows["duration"] = self._spans["end"] - self._spans["begin"]
        return rows

    def to_arrow(self) -> pyarrow.Table:
        """The columns of the table ``spans`` of ``hypertrace query`` (`htrun.analysis.tables.span_columns`). Raises
        `HtrunError` if the package pyarrow is not installed."""
        from htrun.analysis.arrow import require_pyarrow
        from htrun.analysis.tables.span_columns import span_columns
        from htrun.analysis.tables.table import batch_of
        from htrun.analysis.tables.threads import ThreadColumns

        first, _ = self._trace.duration or (0, 0)
        columns = span_columns(first, ThreadColumns(self._trace.streams), self.names, self._keyed)
        return require_pyarrow().Table.from_batches([batch_of(columns, list(columns), self._spans)])

    def to_pandas(self) -> Any:
        """The table of `to_arrow` as a data frame (`htrun.analysis.arrow.data_frame`). Raises `HtrunError` if pandas or
        pyarrow is not installed."""
        from htrun.analysis.arrow import data_frame

        return data_frame(self.to_arrow())


_SOURCES = {
    "id": "begin_number", "end_id": "end_number", "parent": "parent", "key": "key", "begin": "begin", "end": "end",
    "name": "name", "depth": "depth", "stream": "begin_stream", "end_stream": "end_stream", "trapped": "trapped",
    "begin_args": "begin_args", "end_args": "end_args",
}  # fmt: skip
"""The names of the fields of a row, and the names of the same fields in `span_dtype`."""


def row_dtype(num_args: int) -> np.dtype[Any]:
    """The type of a row that describes one span. Its fields are:

    ``id``: the id of the span, which is the id of its begin event. ``end_id``: the id of its end event.
    ``parent``: the id of the span that was open in the same thread when this span began; 0 if there was none.
    ``key``: the key of the span; 0 if it has none.
    ``begin``, ``end``: the times of the two events, in ns since the epoch. ``duration``: the difference, in ns.
    ``name``: the index of its name in `TraceSpans.names`.
    ``depth``: the number of spans that were open in the thread when this span began.
    ``stream``, ``end_stream``: the threads of the two events, as indices into `Trace.streams`.
    ``trapped``: whether the span contains an event that trapped.
    ``begin_args``, ``end_args``: the arguments of the two events.
    """
    words = ("id", "end_id", "parent", "key", "begin", "end", "duration")
    numbers = ("name", "depth", "stream", "end_stream")
    return np.dtype(
        [
            *((field, "<u8") for field in words),
            *((field, "<u4") for field in numbers),
            ("trapped", "?"),
            ("begin_args", "<u8", (num_args,)),
            ("end_args", "<u8", (num_args,)),
        ]
    )
