"""Presents a table as an Arrow dataset, so that DuckDB requests only the columns and rows that a query needs.

DuckDB passes the columns and the conditions of a query to `Lazy.scanner`. The conditions are a single Arrow expression.
To find the parts of the trace that can satisfy this expression, the duration of the trace is divided into slices, and
Arrow drops the slices whose times the expression excludes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow
from pyarrow import dataset, fs

from htrun.analysis.tables.table import Table, seconds_type
from htrun.events.window import Window

_SLICES = 128
"""The number of slices into which a trace is divided. Slices are always read as a whole."""


class Lazy(dataset.Dataset):  # type: ignore[misc]
    """A dataset that reads the rows of ``table`` when it is scanned.

    ``failure``: the exception that ended the last scan; None if no scan has failed.
    """

    def __init__(self, table: Table) -> None:
        # The base class's __init__ is not called, because it always raises an exception.
        self._table = table
        self.failure: BaseException | None = None

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns."""
        return self._table.schema

    def scanner(self, columns: Sequence[str] | None = None, filter: Any = None, **_: object) -> Scan:
        """A scan of the rows that satisfy ``filter``, limited to ``columns``. None: all rows, all columns."""
        wanted = self.schema.names if columns is None else list(columns)
        chosen = pyarrow.schema([self.schema.field(name) for name in wanted])
        return Scan(pyarrow.RecordBatchReader.from_batches(chosen, self._rows(wanted, filter)))

    def _rows(self, wanted: list[str], condition: Any) -> Iterator[pyarrow.RecordBatch]:
        try:
            if condition is None:
                yield from self._table.batches(wanted, None)
                return
            # The search may also find the name of a column that the condition does not use. Then this column is read
            # unnecessarily.
            needed = [name for name in self.schema.names if name in wanted or name in str(condition)]
            for batch in self._table.batches(needed, self._windows(condition)):
                kept = pyarrow.Table.from_batches([batch]).filter(condition).select(wanted)
                yield from kept.to_batches()
        except (Exception, KeyboardInterrupt) as error:
            # The exception is kept here, since Arrow and DuckDB pass on only its text.
            self.failure = error
            raise

    def _windows(self, condition: Any) -> list[Window] | None:
        """The windows in which ``condition`` may be satisfied; None if it may be satisfied at any time."""
        if self._table.duration is None:
            return None
        first, last = self._table.duration
        slices = _slices(first, last)
        layout = dataset.IpcFileFormat()
        nowhere = fs.LocalFileSystem()
        # The names of the files stand for slices. The files do not exist, and are never opened.
        fragments = [
            layout.make_fragment(str(number), nowhere, _times(first, window)) for number, window in enumerate(slices)
        ]
        known = pyarrow.schema([self.schema.field(name) for name in self.schema.names])
        kept = dataset.FileSystemDataset(fragments, known, layout, nowhere).get_fragments(condition)
        return _joined([slices[int(fragment.path)] for fragment in kept])


class Scan:
    """A scanner with the interface that DuckDB expects."""

    def __init__(self, reader: pyarrow.RecordBatchReader) -> None:
        self._reader = reader

    def to_reader(self) -> pyarrow.RecordBatchReader:
        """The rows."""
        return self._reader


def _slices(first: int, last: int) -> list[Window]:
    length = max(-(-(last + 1 - first) // _SLICES), 1)
    return [Window(begin, begin + length) for begin in range(first, last + 1, length)]


def _times(first: int, window: Window) -> Any:
    """An Arrow expression with the bounds of ``time_ns`` and ``seconds`` in ``window``, for a trace that begins at
    ``first``."""
    time, seconds = dataset.field("time_ns"), dataset.field("seconds")
    begin, last = window.begin, window.end - 1
    known = (time >= begin) & (time <= last)
    earliest, latest = (pyarrow.scalar(Decimal(ns - first).scaleb(-9), seconds_type()) for ns in (begin, last))
    return known & (seconds >= earliest) & (seconds <= latest)


def _joined(windows: Sequence[Window]) -> list[Window]:
    """``windows`` with adjacent windows joined. ``windows`` are in order."""
    joined: list[Window] = []
    for window in windows:
        if joined and joined[-1].end == window.begin:
            joined[-1] = Window(joined[-1].begin, window.end)
        else:
            joined.append(window)
    return joined
