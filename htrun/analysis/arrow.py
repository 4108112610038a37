"""Events as Arrow tables with typed columns, for pandas, polars, DuckDB and similar libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from htrun.errors import HtrunError
from htrun.events.arguments import Argument, ArgumentType
from htrun.events.records import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow
    from numpy.typing import NDArray

    from htrun.events.records import Events
    from htrun.events.shapes import Shapes
    from htrun.events.stream import Stream


class BatchSource(Protocol):
    """The part of the interface of a trace that this module uses."""

    @property
    def num_args(self) -> int:
        """The maximum number of arguments in a row of `events`."""

    @property
    def streams(self) -> Sequence[Stream]:
        """The threads."""

    @property
    def shapes(self) -> Shapes:
        """The fields of each kind of event."""

    def events(self) -> Iterator[Events]:
        """Batches of events."""


def to_table(trace: BatchSource) -> pyarrow.Table:
    """All events of ``trace`` with the columns of `schema`, except that ``time`` replaces ``time_ns``. A column
    ``NAME.ARGUMENT`` follows for each argument that the user has named, as in Parquet files. It has the type of the
    argument.

    Raises `HtrunError` if the package pyarrow is not installed.
    """
    arrow = require_pyarrow()
    time = arrow.field("time", arrow.timestamp("ns", tz="UTC"))
    named = [arrow.field(name, type_of(argument)) for name, (argument, _) in trace.shapes.named_columns.items()]
    whole = arrow.schema([*schema(trace), *named])
    table = arrow.Table.from_batches((_with_named(trace, events, whole) for events in trace.events()), whole)
    return table.set_column(0, time, table.column(0).cast(time.type))


def _with_named(trace: BatchSource, events: Events, wanted: pyarrow.Schema) -> pyarrow.RecordBatch:
    arrow = require_pyarrow()
    codes = trace.shapes.codes(events)
    columns = list(record_batch(trace, events).columns)
    for argument, places in trace.shapes.named_columns.values():
        words, absent = np.zeros(len(events), np.uint64), np.ones(len(events), bool)
        for code, place in places.items():
            rows = codes == code
            words[rows] = events["args"][rows, place]
            absent &= ~rows
        if argument.type in LABELLED:
            columns.append(labelled(argument, words, absent))
        else:
            columns.append(arrow.array(argument.values(words), mask=absent))
    return arrow.record_batch(columns, wanted)


def schema(trace: BatchSource) -> pyarrow.Schema:
    """The columns: ``time_ns`` since the epoch; the thread; ``event``, QEMU's name of the event; ``name`` and ``phase``
    if the user has named the event; ``site`` and ``index``, or ``num`` and ``arch`` of a system call; ``arg1`` and the
    following arguments."""
    arrow = require_pyarrow()
    text = arrow.dictionary(arrow.int32(), arrow.string())
    columns = {
        **_common_columns(),
        **dict.fromkeys(("event", "name", "phase"), text),
        **dict.fromkeys(NUMBERS, arrow.uint32()),
        **{f"arg{number}": arrow.uint64() for number in range(1, trace.num_args + 1)},
    }
    return arrow.schema(columns.items())


def type_of(argument: Argument) -> pyarrow.DataType:
    arrow = require_pyarrow()
    match argument.type:
        case ArgumentType.I64:
            return arrow.int64()
        case ArgumentType.F64:
            return arrow.float64()
        case ArgumentType.BOOL:
            return arrow.bool_()
        case ArgumentType.ENUM | ArgumentType.TEXT:
            return arrow.dictionary(arrow.int32(), arrow.string())
        case _:
            return arrow.uint64()


def labelled(
    argument: Argument, words: NDArray[np.uint64], absent: NDArray[np.bool_] | None = None
) -> pyarrow.DictionaryArray:
    """The labels of ``words``; null for words that are ``absent``."""
    used, places = np.unique(words, return_inverse=True)
    texts: list[str | None] = [str(argument.value(word)) for word in used.tolist()]
    if absent is not None:
        places = np.where(absent, len(texts), places)
    return dictionary(places, [*texts, None])


def _common_columns() -> dict[str, pyarrow.DataType]:
    arrow = require_pyarrow()
    ids = dict.fromkeys(_IDS, arrow.uint32())
    return {"time_ns": arrow.int64(), **ids, "comm": arrow.dictionary(arrow.int32(), arrow.string())}


def _common_values(trace: BatchSource, events: Events) -> list[Any]:
    streams = events["stream"].astype(np.int32)
    ids = [np.array([getattr(each, name) for each in trace.streams], np.uint32)[streams] for name in _IDS]
    return [events["time"].astype(np.int64), *ids, dictionary(streams, [stream.comm for stream in trace.streams])]


def _batch(columns: Sequence[Any], wanted: pyarrow.Schema) -> pyarrow.RecordBatch:
    arrow = require_pyarrow()
    arrays = [arrow.array(column).cast(field.type) for column, field in zip(columns, wanted, strict=True)]
    return arrow.record_batch(arrays, wanted)


def record_batch(trace: BatchSource, events: Events) -> pyarrow.RecordBatch:
    """The ``events`` of ``trace`` as Arrow columns of `schema`. Fields that an event does not have are null."""
    arrow = require_pyarrow()
    shapes = trace.shapes.all()
    codes = np.empty(len(events), np.int32)
    for shape, rows in trace.shapes.split(events):
        codes[rows] = shapes.index(shape)
    counts = np.array([trace.shapes.width(shape) for shape in shapes])
    columns = [
        *_common_values(trace, events),
        dictionary(codes, [shape.definition.name for shape in shapes]),
        dictionary(codes, [shape.named.name if shape.named else None for shape in shapes]),
        dictionary(codes, [shape.named.phase.value if shape.named else None for shape in shapes]),
    ]
    for name in NUMBERS:
        having = np.array([name in shape.definition.columns for shape in shapes], np.int64)
        columns.append(arrow.array(events[name], mask=lacking(having, codes, 1)))
    columns += [arrow.array(events["args"][:, n], mask=lacking(counts, codes, n + 1)) for n in range(trace.num_args)]
    return _batch(columns, schema(trace))


_IDS = ("pid", "tid", "vcpu")
LABELLED = (ArgumentType.ENUM, ArgumentType.TEXT)


def require_pyarrow() -> pyarrow:
    """The package pyarrow. Raises `HtrunError` if it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise HtrunError("this needs the package pyarrow; install it with: pip install 'htrun[arrow]'") from None
    return pyarrow


def data_frame(table: pyarrow.Table) -> Any:
    """``table`` as a data frame of pandas. Raises `HtrunError` if pandas is not installed.

    Whole numbers and truth values have the types of pandas in which a value may be missing (``UInt64``, ``boolean``),
    even if no value is missing. Otherwise a column with missing values would become a column of floats, and numbers
    above 2**53 would be rounded.
    """
    try:
        import pandas
    except ImportError:
        raise HtrunError("this needs the package pandas; install it with: pip install pandas") from None
    arrow = require_pyarrow()
    types = {
        arrow.uint32(): pandas.UInt32Dtype(),
        arrow.uint64(): pandas.UInt64Dtype(),
        arrow.int64(): pandas.Int64Dtype(),
        arrow.bool_(): pandas.BooleanDtype(),
    }
    return table.to_pandas(types_mapper=types.get)


def dictionary(codes: NDArray[np.integer[Any]], texts: Sequence[str | None]) -> pyarrow.DictionaryArray:
    """A column with ``texts[code]`` for each ``code`` of ``codes``; null if the text is None."""
    arrow = require_pyarrow()
    unique = [text for text in dict.fromkeys(texts) if text is not None]
    places = np.array([-1 if text is None else unique.index(text) for text in texts], np.int32)[codes]
    absent = places < 0
    indices = arrow.array(places, mask=absent if bool(absent.any()) else None)
    return arrow.DictionaryArray.from_arrays(indices, arrow.array(unique, arrow.string()))


def lacking(counts: NDArray[np.int64], codes: NDArray[np.integer[Any]], number: int) -> NDArray[np.bool_] | None:
    """A mask of the events that have no field ``number``; None if all events have the field.

    ``counts``: the number of fields of each shape; ``codes``: the shape of each event.
    """
    lacks = counts < number
    used = np.bincount(codes, minlength=len(counts)) > 0
    return lacks[codes] if bool((lacks & used).any()) else None
