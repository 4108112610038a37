"""The interface of a table: named columns. Only the columns that a query needs are made."""

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
    """A table. ``schema``: its columns."""

    @property
    def schema(self) -> pyarrow.Schema:
        """The names and types of its columns."""

    @property
    def duration(self) -> tuple[int, int] | None:
        """The first and the last time that its columns ``time_ns`` and ``seconds`` can have, in ns since the epoch;
        None if it has no such columns, or no rows."""

    def batches(self, columns: Sequence[str], windows: Sequence[Window] | None) -> Iterator[pyarrow.RecordBatch]:
        """Its rows with ``columns`` only, in batches.

        Rows outside ``windows``, which are in order and do not overlap, may be left out. None: all rows. Raises
        `HtrunError`.
        """


@dataclass(frozen=True)
class Column(Generic[_Rows]):
    """A column: its ``type``, and the function ``make``, which returns its values for a batch of rows."""

    type: Any
    make: Callable[[_Rows], Any]


def schema_of(columns: Mapping[str, Column[Any]]) -> pyarrow.Schema:
    """The names and types of ``columns``."""
    return require_pyarrow().schema([(name, column.type) for name, column in columns.items()])


def batch_of(columns: Mapping[str, Column[_Rows]], wanted: Sequence[str], rows: _Rows) -> pyarrow.RecordBatch:
    """The ``wanted`` columns for ``rows``."""
    arrow = require_pyarrow()
    arrays = [arrow.array(columns[name].make(rows), columns[name].type) for name in wanted]
    return arrow.record_batch(arrays, schema_of({name: columns[name] for name in wanted}))


def seconds_type() -> Any:
    """The type of exact seconds with nine decimals.

    SQL takes 1.5 for a decimal number, which compares with this type without a cast, so that the condition reaches the
    reader.
    """
    return require_pyarrow().decimal128(18, 9)


def exact_seconds(nanoseconds: NDArray[np.uint64]) -> pyarrow.Array:
    """``nanoseconds``, each less than 2**63, as `seconds_type`."""
    arrow = require_pyarrow()
    words = np.zeros((len(nanoseconds), 2), "<u8")
    words[:, 0] = nanoseconds
    return arrow.Array.from_buffers(seconds_type(), len(nanoseconds), [None, arrow.py_buffer(words)])


@dataclass(frozen=True)
class SmallTable:
    """A table that fits in memory.

    ``build``: returns the values of some of its columns; called when the table is read.
    """

    schema: pyarrow.Schema
    build: Callable[[Sequence[str]], Mapping[str, Sequence[object]]]
    duration: None = None

    def batches(self, columns: Sequence[str], windows: Sequence[Window] | None) -> Iterator[pyarrow.RecordBatch]:
        """All rows at once."""
        arrow = require_pyarrow()
        values = self.build(columns)
        chosen = arrow.schema([self.schema.field(name) for name in columns])
        yield arrow.record_batch([arrow.array(values[each.name], each.type) for each in chosen], chosen)
