"""The spans of a trace as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.event_ids import begins_in
from htrun.analysis.tables.span_columns import span_columns
from htrun.analysis.tables.table import batch_of, schema_of
from htrun.analysis.timing.first_events import FirstEvents
from htrun.analysis.timing.spans import Pairer
from htrun.events.records import chosen

if TYPE_CHECKING:
    import pyarrow

    from htrun.analysis.filters import Filter
    from htrun.analysis.tables.events import Watch
    from htrun.analysis.tables.threads import ThreadColumns
    from htrun.analysis.trace import Trace
    from htrun.events.window import Window


class SpanTable:
    """A table of the spans of ``trace`` that ``wanted`` selects by name, begin time and first thread. The columns are
    those of `span_columns`. The whole trace is read, since a span may end at any time.
    """

    duration = None

    def __init__(self, trace: Trace, threads: ThreadColumns, wanted: Filter, watch: Watch) -> None:
        self._trace = trace
        self._wanted = wanted
        self._watch = watch
        pairer = Pairer(trace.names)
        self._columns = span_columns((trace.duration or (0, 0))[0], threads, tuple(pairer.names), pairer.keyed)
        self.schema = schema_of(self._columns)

    def batches(self, columns: Sequence[str], windows: Sequence[Window] | None) -> Iterator[pyarrow.RecordBatch]:
        """See `Table`."""
        num_args = self._trace.num_args if {"begin_args", "end_args"} & {*columns} else 0
        trapped = FirstEvents([stream.pid for stream in self._trace.streams]) if "trapped" in columns else None
        pairer = Pairer(
            self._trace.names,
            self._trace.losses,
            num_args=num_args,
            first_events=trapped,
            nesting=bool({"parent", "depth"} & {*columns}),
        )
        named = np.array([self._names(name) for name in pairer.names])
        for events in self._watch(self._trace.events()):
            spans = pairer.feed(events)
            kept = pairer.names.are_own(spans) & named[spans["name"]] & begins_in(spans, self._wanted.window)
            if kept.any():
                yield batch_of(self._columns, columns, chosen(spans, kept))

    def _names(self, name: str) -> bool:
        patterns = self._wanted.events
        return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
