"""The spans of a trace as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.arrow import dictionary, require_pyarrow
from htrun.analysis.event_ids import begins_in
from htrun.analysis.tables.table import Column, batch_of, exact_seconds, schema_of, seconds_type
from htrun.analysis.timing.first_events import FirstEvents
from htrun.analysis.timing.spans import Pairer

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

    from htrun.analysis.filters import Filter
    from htrun.analysis.tables.events import ThreadColumns, Watch
    from htrun.analysis.timing.spans import Spans
    from htrun.analysis.trace import Trace
    from htrun.events.window import Window


class SpanTable:
    """The spans of ``trace`` that begin at the times and in the threads that ``wanted`` selects, and whose names it
    selects. The columns are those of `span_columns`. All of the trace is read, since a span may end at any time.
    """

    duration = None

    def __init__(self, trace: Trace, threads: ThreadColumns, wanted: Filter, watch: Watch) -> None:
        self._trace = trace
        self._wanted = wanted
        self._watch = watch
        pairer = Pairer(trace.names)
        self._columns = span_columns(trace, threads, pairer.names, pairer.keyed)
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
            parents="parent" in columns,
        )
        named = np.array([self._names(name) for name in pairer.names[: pairer.told]] + [False])
        for events in self._watch(self._trace.events()):
            spans = pairer.feed(events)
            kept = named[np.minimum(spans["name"], pairer.told)] & begins_in(spans, self._wanted.window)
            if kept.any():
                yield batch_of(self._columns, columns, spans[kept])

    def _names(self, name: str) -> bool:
        patterns = self._wanted.events
        return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def span_columns(
    trace: Trace, threads: ThreadColumns, names: Sequence[str], keyed: Sequence[bool]
) -> dict[str, Column[Spans]]:
    """The columns of spans of ``trace``, whose ``names`` are those of a `Pairer`; ``keyed`` says which have a key.

    ``name``; ``key``, null if the span has none; ``begin`` and ``end``; the same as ``begin_ns`` and ``end_ns`` since
    the epoch; ``seconds`` from the first event of the trace to its begin; ``duration`` in ns; ``tid``, ``pid``,
    ``vcpu`` and ``comm`` of the thread that began it, and ``end_tid``; ``id``, which is that of its first event;
    ``end_id``, that of its last; ``parent``, the id of the span around it, null if there is none; ``depth``, how many
    there are; ``trapped``, whether it has an event that trapped; ``begin_args`` and ``end_args``, the arguments of the
    two events from ``arg1`` on.
    """
    arrow = require_pyarrow()
    first = np.uint64((trace.duration or (0, 0))[0])
    has_key = np.array(keyed, bool)
    whole, small, moment = arrow.uint64(), arrow.uint32(), arrow.timestamp("ns")
    text = arrow.dictionary(arrow.int32(), arrow.string())

    def time(field: str) -> Column[Spans]:
        return Column(moment, lambda spans: arrow.array(spans[field].astype(np.int64)).view(moment))

    def nanoseconds(field: str) -> Column[Spans]:
        return Column(arrow.int64(), lambda spans: spans[field].astype(np.int64))

    def thread(field: str, end: str = "begin") -> Column[Spans]:
        return Column(small, lambda spans: threads.id(field, spans[f"{end}_stream"]))

    def number(field: str) -> Column[Spans]:
        return Column(whole, lambda spans: np.ascontiguousarray(spans[field]))

    return {
        "name": Column(text, lambda spans: dictionary(spans["name"].astype(np.int32), names)),
        "key": Column(whole, lambda spans: _masked(spans["key"], ~has_key[spans["name"]])),
        "begin": time("begin"),
        "end": time("end"),
        "begin_ns": nanoseconds("begin"),
        "end_ns": nanoseconds("end"),
        "seconds": Column(seconds_type(), lambda spans: exact_seconds(spans["begin"] - first)),
        "duration": Column(arrow.int64(), lambda spans: (spans["end"] - spans["begin"]).astype(np.int64)),
        "tid": thread("tid"),
        "pid": thread("pid"),
        "vcpu": thread("vcpu"),
        "comm": Column(text, lambda spans: threads.comm(spans["begin_stream"])),
        "end_tid": thread("tid", "end"),
        "id": number("begin_number"),
        "end_id": number("end_number"),
        "parent": Column(whole, lambda spans: _masked(spans["parent"], spans["parent"] == 0)),
        "depth": Column(small, lambda spans: np.ascontiguousarray(spans["depth"])),
        "trapped": Column(arrow.bool_(), lambda spans: np.ascontiguousarray(spans["trapped"])),
        "begin_args": Column(arrow.list_(whole), lambda spans: _lists(spans["begin_args"])),
        "end_args": Column(arrow.list_(whole), lambda spans: _lists(spans["end_args"])),
    }


def _masked(values: NDArray[Any], absent: NDArray[np.bool_]) -> pyarrow.Array:
    return require_pyarrow().array(np.ascontiguousarray(values), mask=absent)


def _lists(args: NDArray[np.uint64]) -> pyarrow.Array:
    arrow = require_pyarrow()
    count, width = args.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return arrow.ListArray.from_arrays(arrow.array(offsets), arrow.array(args.reshape(-1)))


def to_arrow(
    trace: Trace, threads: ThreadColumns, names: Sequence[str], keyed: Sequence[bool], spans: Spans
) -> pyarrow.Table:
    """``spans`` of ``trace``, with their arguments, as columns of `span_columns`."""
    columns = span_columns(trace, threads, names, keyed)
    return require_pyarrow().Table.from_batches([batch_of(columns, list(columns), spans)])
