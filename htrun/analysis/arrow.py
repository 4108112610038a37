"""Events as Arrow tables: typed columns, for pandas, polars, DuckDB and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.events.definitions import HYPERTRACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from htrun.analysis.trace import Trace
    from htrun.events.records import Events
    from htrun.events.shapes import Shape


def to_table(trace: Trace) -> pyarrow.Table:
    """All events of ``trace``. Raises `HtrunError` without the package pyarrow."""
    arrow = require_pyarrow()
    return arrow.Table.from_batches(record_batches(trace), schema(trace))


def schema(trace: Trace) -> pyarrow.Schema:
    """The columns: ``time``, the thread, ``event`` and ``phase``, ``site``, ``index``, ``arg1`` and on."""
    arrow = require_pyarrow()
    text = arrow.dictionary(arrow.int32(), arrow.string())
    columns = {
        "time": arrow.timestamp("ns", tz="UTC"),
        **dict.fromkeys(("pid", "tid", "vcpu"), arrow.uint32()),
        "comm": text,
        "event": text,
        "phase": text,
        "site": arrow.uint32(),
        "index": arrow.uint64(),
        **{f"arg{number}": arrow.uint64() for number in range(1, trace.num_args + 1)},
    }
    return arrow.schema(columns.items())


def record_batches(trace: Trace) -> Iterator[pyarrow.RecordBatch]:
    """All events of ``trace``, some at once."""
    for events in trace.events():
        yield record_batch(trace, events)


def record_batch(trace: Trace, events: Events) -> pyarrow.RecordBatch:
    """A batch of ``trace`` as Arrow columns of `schema`. What an event does not have is null."""
    import numpy as np

    arrow = require_pyarrow()
    shapes = trace.shapes.all()
    codes = np.empty(len(events), np.int32)
    for shape, rows in trace.shapes.split(events):
        codes[rows] = shapes.index(shape)
    streams = events["stream"].astype(np.int32)
    indexes = np.array([len(shape.definition.fields) for shape in shapes])
    columns = [events["time"].astype("<M8[ns]")]
    columns += [np.array([getattr(each, name) for each in trace.streams], np.uint32)[streams] for name in _IDS]
    columns += [
        _texts(streams, [stream.comm for stream in trace.streams]),
        _texts(codes, [shape.title for shape in shapes]),
        _texts(codes, [shape.named.phase.value if shape.named else "instant" for shape in shapes]),
        events["site"],
        arrow.array(events["index"], mask=_lacking(indexes, codes, 1)),
    ]
    counts = np.array([_argument_count(trace, shape) for shape in shapes])
    columns += [arrow.array(events["args"][:, n], mask=_lacking(counts, codes, n + 1)) for n in range(trace.num_args)]
    wanted = schema(trace)
    return arrow.record_batch(
        [arrow.array(column).cast(field.type) for column, field in zip(columns, wanted, strict=True)], wanted
    )


_IDS = ("pid", "tid", "vcpu")


def require_pyarrow() -> pyarrow:
    """The package pyarrow. Raises `HtrunError` if it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise HtrunError("this needs the package pyarrow; install it with: pip install 'htrun[arrow]'") from None
    return pyarrow


def _texts(codes: NDArray[np.int32], texts: Sequence[str]) -> pyarrow.DictionaryArray:
    arrow = require_pyarrow()
    unique = list(dict.fromkeys(texts))
    import numpy as np

    places = np.array([unique.index(text) for text in texts], np.int32)
    return arrow.DictionaryArray.from_arrays(places[codes], unique)


def _argument_count(trace: Trace, shape: Shape) -> int:
    return trace.shapes.num_args if shape.definition is HYPERTRACE else len(shape.arguments)


def _lacking(counts: NDArray[np.int64], codes: NDArray[np.int32], number: int) -> NDArray[np.bool_] | None:
    """Which events have no field ``number``, where those of each shape have as many as ``counts``; None if all do."""
    import numpy as np

    lacks = counts < number
    used = np.bincount(codes, minlength=len(counts)) > 0
    return lacks[codes] if bool((lacks & used).any()) else None
