"""The interface of a table of named columns. Only the columns that a query needs are built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from htrun.analysis.arrow import require_pyarrow

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

    from htrun.events.window import Window

_Rows = TypeVar("_Rows")


class Table(Protocol):
    """A table of named columns."""

    @property
    def schema(self) -> pyarrow.Schema:
        """The names and types of the columns."""

    @property
    def duration(self) -> tuple[int, int] | None:
        """The range of the columns ``time_ns`` and ``seconds``: the first and the last possible time, in ns since the
        epoch. None if the table has no such columns, or no rows."""

    def batches(self, columns: Sequence[str], windows: Sequence[Window] | None) -> Iterator[pyarrow.RecordBatch]:
        """The rows of the table in batches that contain only ``columns``.

        ``windows``: the times that are needed, in order and without overlap; rows outside them may be left out. None:
        all rows. Raises `HtrunError`.
        """


@dataclass(frozen=True)
class Column(Generic[_Rows]):
    """A column. ``type``: its Arrow type. ``make``: a function that returns the values of the column for a batch of
    rows."""

    type: Any
    make: Callable[[_Rows], Any]


def schema_of(columns: Mapping[str, Column[Any]]) -> pyarrow.Schema:
    """The names and types of ``columns``."""
    return require_pyarrow().schema([(name, column.type) for name, column in columns.items()])


def batch_of(columns: Mapping[str, Column[_Rows]], wanted: Sequence[str], rows: _Rows) -> pyarrow.RecordBatch:
    """A batch that contains the columns ``wanted`` for ``rows``."""
    arrow = require_pyarrow()
    arrays = [arrow.array(columns[name].make(rows), columns[name].type) for name in wanted]
    return arrow.record_batch(arrays, schema_of({name: columns[name] for name in wanted}))


def seconds_type() -> Any:
    """The Arrow type of exact seconds with nine decimals.

    In SQL, 1.5 is a decimal number. It can be compared with this type without a cast. With a cast, the condition would
    not reach the reader.
    """
    return require_pyarrow().decimal128(18, 9)


def exact_seconds(nanoseconds: NDArray[np.uint64]) -> pyarrow.Array:
    """``nanoseconds`` converted to `seconds_type`. Each must be less than 2**63."""
    arrow = require_pyarrow()
    words = np.zeros((len(nanoseconds), 2), "<u8")
    words[:, 0] = nanoseconds
    return arrow.Array.from_buffers(seconds_type(), len(nanoseconds), [None, arrow.py_buffer(words)])


@dataclass(frozen=True)
class SmallTable:
    """A table that fits in memory.

    ``build``: a function that returns the values of the given columns. It is called when the table is read.
    """

    schema: pyarrow.Schema
    build: Callable[[Sequence[str]], Mapping[str, Sequence[object]]]
    duration: None = None

    def batches(self, columns: Sequence[str], windows: Sequence[Window] | None) -> Iterator[pyarrow.RecordBatch]:
        """All rows in a single batch."""
        arrow = require_pyarrow()
        values = self.build(columns)
        chosen = arrow.schema([self.schema.field(name) for name in columns])
        yield arrow.record_batch([arrow.array(values[each.name], each.type) for each in chosen], chosen)
