"""The columns of a table of spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.arrow import dictionary, require_pyarrow
from htrun.analysis.tables.table import Column, exact_seconds, seconds_type

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

    from htrun.analysis.tables.threads import ThreadColumns
    from htrun.analysis.timing.spans import Spans


def span_columns(
    first: int, threads: ThreadColumns, names: Sequence[str], keyed: Sequence[bool]
) -> dict[str, Column[Spans]]:
    """The columns of a table of spans.

    ``first``: the time of the trace's first event, in ns since the epoch. ``names``, ``keyed``: the names of spans, and
    whether the spans of each name have a key, from a `Pairer`.

    The columns are:

    ``name``: the name of the span.
    ``key``: its key; null if it has none.
    ``begin``, ``end``: the times of its two events, also as ``begin_ns`` and ``end_ns`` since the epoch.
    ``seconds``: the time from the first event of the trace to the begin of the span.
    ``duration``: its duration in ns.
    ``tid``, ``pid``, ``vcpu``, ``comm``: the thread that began the span. ``end_tid``: the thread that ended it.
    ``id``, ``end_id``: the ids of its begin event and its end event.
    ``parent``: the id of the span around it; null if there is none.
    ``depth``: the number of spans around it.
    ``trapped``: whether the span contains an event that trapped.
    ``begin_args``, ``end_args``: the arguments of its two events, from ``arg1`` on.
    """
    arrow = require_pyarrow()
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
        "seconds": Column(seconds_type(), lambda spans: exact_seconds(spans["begin"] - np.uint64(first))),
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
