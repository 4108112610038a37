"""Presents the events of a trace as tables: a table of all events, and for each named event a table with its own
columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.arrow import LABELLED, dictionary, labelled, lacking, require_pyarrow, type_of
from htrun.analysis.tables.table import Column, batch_of, exact_seconds, schema_of, seconds_type
from htrun.analysis.tables.threads import THREAD_IDS, ThreadColumns
from htrun.events.named import Phase
from htrun.events.records import NUMBERS
from htrun.events.window import EVERYTHING, Window

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

    from htrun.analysis.filters import Filter
    from htrun.analysis.trace import Trace
    from htrun.events.arguments import Argument
    from htrun.events.records import Events
    from htrun.events.shapes import Shape, Shapes

Watch = Callable[["Iterator[Events]"], "Iterator[Events]"]
"""A function that returns the batches of events unchanged, and may show the progress of reading."""


@dataclass(frozen=True)
class Rows:
    """A batch of rows of a table of events. ``ids``: the ids of the events (`htrun.analysis.event_ids`); empty if they
    are not needed."""

    ids: NDArray[np.uint64]
    events: Events
    shapes: Shapes

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """The index of each event's shape in `Shapes.all`."""
        return self.shapes.codes(self.events)

    def taken(self, rows: NDArray[np.int64]) -> Rows:
        """Only these ``rows``."""
        return Rows(self.ids[rows] if len(self.ids) else self.ids, self.events[rows], self.shapes)


class EventTable:
    """A table of all events of ``trace`` that ``wanted`` selects.

    The columns: ``time``; ``time_ns`` since the epoch; ``seconds`` since the first event; ``id``, the number of the
    event in the trace; the thread; ``event``, QEMU's name of the event; ``name`` and ``phase`` if the user has named
    the event; ``site`` and ``index``, or ``num`` and ``arch`` of a system call; ``arg1`` and the following arguments.
    """

    def __init__(self, trace: Trace, threads: ThreadColumns, wanted: Filter, watch: Watch) -> None:
        self._source = _Source(trace, wanted, watch)
        self._columns = {**_common_columns(trace, threads), **_all_columns(trace)}
        self.schema = schema_of(self._columns)
        self.duration = trace.duration

    def batches(self, columns: Sequence[str], windows: Sequence[Window] | None) -> Iterator[pyarrow.RecordBatch]:
        """See `Table`."""
        for rows in self._source.rows(windows, ids="id" in columns):
            yield batch_of(self._columns, columns, rows)


class NamedTable:
    """A table of the events of the named ``shape``. The columns are the time, the thread, ``index``, and the named and
    typed arguments."""

    def __init__(self, trace: Trace, threads: ThreadColumns, wanted: Filter, watch: Watch, shape: Shape) -> None:
        self._source = _Source(trace, wanted, watch)
        self._shapes = trace.shapes
        self._shape = shape
        self._columns = {**_common_columns(trace, threads), **_own_columns(shape)}
        self.schema = schema_of(self._columns)
        self.duration = trace.duration

    def batches(self, columns: Sequence[str], windows: Sequence[Window] | None) -> Iterator[pyarrow.RecordBatch]:
        """See `Table`."""
        code = self._shapes.all().index(self._shape)
        for rows in self._source.rows(windows, ids="id" in columns):
            own = np.flatnonzero(rows.codes == code)
            if len(own):
                yield batch_of(self._columns, columns, rows.taken(own))


class _Source:
    """Reads the rows of a table of events."""

    def __init__(self, trace: Trace, wanted: Filter, watch: Watch) -> None:
        self._trace = trace
        self._wanted = wanted
        self._watch = watch

    def rows(self, windows: Sequence[Window] | None, *, ids: bool) -> Iterator[Rows]:
        """The rows within ``windows`` (None: all rows). ``ids``: whether the ids of the events are needed."""
        if windows is None:
            windows = [EVERYTHING]
        elif ids and windows:
            # Ids count the events from the begin of the trace, so all windows are read in a single pass.
            windows = [Window(windows[0].begin, windows[-1].end)]
        for window in windows:
            wanted = replace(self._wanted, window=_both(self._wanted.window, window))
            if ids:
                yield from self._numbered(wanted)
            else:
                none = np.empty(0, np.uint64)
                batches = self._watch(wanted.batches(self._trace))
                yield from (Rows(none, events, self._trace.shapes) for events in batches)

    def _numbered(self, wanted: Filter) -> Iterator[Rows]:
        ids: NDArray[np.uint64] = np.empty(0, np.uint64)

        def batches() -> Iterator[Events]:
            nonlocal ids
            for numbers, events in wanted.numbered(self._trace):
                ids = numbers
                yield events

        yield from (Rows(ids, events, self._trace.shapes) for events in self._watch(batches()))


def _both(one: Window, other: Window) -> Window:
    return Window(max(one.begin, other.begin), min(one.end, other.end), one.streams)


def _common_columns(trace: Trace, threads: ThreadColumns) -> dict[str, Column[Rows]]:
    arrow = require_pyarrow()
    begin = np.uint64((trace.duration or (0, 0))[0])
    text = arrow.dictionary(arrow.int32(), arrow.string())
    nanoseconds = arrow.timestamp("ns")
    return {
        "time": Column(nanoseconds, lambda rows: _integers(rows).view(nanoseconds)),
        "time_ns": Column(arrow.int64(), _integers),
        "seconds": Column(seconds_type(), lambda rows: exact_seconds(rows.events["time"] - begin)),
        "id": Column(arrow.uint64(), lambda rows: rows.ids),
        **{name: _id_column(threads, name) for name in THREAD_IDS},
        "comm": Column(text, lambda rows: threads.comm(rows.events["stream"])),
    }


def _integers(rows: Rows) -> pyarrow.Array:
    return require_pyarrow().array(rows.events["time"].astype(np.int64))


def _id_column(threads: ThreadColumns, name: str) -> Column[Rows]:
    return Column(require_pyarrow().uint32(), lambda rows: threads.id(name, rows.events["stream"]))


def _all_columns(trace: Trace) -> dict[str, Column[Rows]]:
    arrow = require_pyarrow()
    shapes = trace.shapes.all()
    widths = np.array([trace.shapes.width(shape) for shape in shapes])

    def described(texts: list[str | None]) -> Column[Rows]:
        kind = arrow.dictionary(arrow.int32(), arrow.string())
        return Column(kind, lambda rows: dictionary(rows.codes, texts))

    def number(name: str) -> Column[Rows]:
        having = np.array([name in shape.definition.columns for shape in shapes], np.int64)
        return Column(arrow.uint32(), lambda rows: masked(rows, having, 1, rows.events[name]))

    def word(place: int) -> Column[Rows]:
        return Column(arrow.uint64(), lambda rows: masked(rows, widths, place + 1, rows.events["args"][:, place]))

    def masked(rows: Rows, counts: NDArray[np.int64], least: int, values: NDArray[Any]) -> pyarrow.Array:
        return arrow.array(np.ascontiguousarray(values), mask=lacking(counts, rows.codes, least))

    return {
        "event": described([shape.definition.name for shape in shapes]),
        "name": described([shape.named.name if shape.named else None for shape in shapes]),
        "phase": described([shape.named.phase.value if shape.named else None for shape in shapes]),
        **{name: number(name) for name in NUMBERS},
        **{f"arg{place + 1}": word(place) for place in range(trace.num_args)},
    }


def _own_columns(shape: Shape) -> dict[str, Column[Rows]]:
    arrow = require_pyarrow()
    columns = {"index": Column[Rows](arrow.uint32(), lambda rows: rows.events["index"])}
    taken = {*columns, *_COMMON}
    for place, argument in enumerate(shape.arguments, shape.first):
        # Names in SQL are case-insensitive. An underscore is appended to a name that is already used.
        name = argument.name
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        columns[name] = _argument_column(argument, place)
    return columns


_COMMON = ("time", "time_ns", "seconds", "id", *THREAD_IDS, "comm")


def _argument_column(argument: Argument, place: int) -> Column[Rows]:
    def make(rows: Rows) -> Any:
        words = np.ascontiguousarray(rows.events["args"][:, place])
        return labelled(argument, words) if argument.type in LABELLED else argument.values(words)

    return Column(type_of(argument), make)


def event_table_names(trace: Trace, taken: Sequence[str]) -> dict[str, Shape]:
    """The shapes of named events by the names of their tables. The name of a table is the name of the event, with
    ``_begin`` or ``_end`` if the event begins or ends a span. Underscores are appended as long as the name is among
    ``taken``."""
    names: dict[str, Shape] = {}
    for shape in trace.shapes.all():
        if shape.named is None:
            continue
        ends = shape.named.phase in {Phase.BEGIN, Phase.END}
        name = f"{shape.named.name}_{shape.named.phase.value}" if ends else shape.named.name
        while name.lower() in {*taken, *(other.lower() for other in names)}:
            name += "_"
        names[name] = shape
    return names
