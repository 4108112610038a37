"""Parquet, with typed columns, for DuckDB, Spark, ClickHouse, pandas and others.

A PATH that ends in ``.parquet`` is one file. Any other is a directory in the layout of Hive, to which each run adds::

    PATH/run_date=2026-01-31/host=name/run_id=20260131T101500-1a2b3c4d/part-0.parquet

Columns: ``time`` (ns, UTC), ``pid``, ``tid``, ``vcpu``, ``comm``, ``event``, ``name`` and ``phase`` (null where the
user has named nothing), ``index``, ``site``, ``arg1`` ... as u64; and a column of its own type for each argument that
the user has named, called ``NAME.ARGUMENT``, null for other events.

A file gets its name only when it is whole. It has rows in groups of some hundred thousand, so nothing of a live run can
be read before its end.
"""

from __future__ import annotations

import os
import time
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from htrun.errors import HtrunError
from htrun.events.arguments import ArgumentType
from htrun.events.definitions import DEFINITIONS, SYSCALL_ARGS
from htrun.events.records import event_dtype
from htrun.events.shapes import Shape, Shapes
from htrun.events.sink import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.arguments import Argument
    from htrun.events.records import Events
    from htrun.events.shapes import Rows
    from htrun.events.stream import Stream
    from htrun.sinks.facts import TraceFacts

SUFFIX = ".parquet"
_ROW_GROUP = 1 << 18
"""Rows of a group, which is what readers skip or take whole."""
_DICTIONARIES = ["pid", "tid", "vcpu", "comm", "event", "name", "phase", "site"]
"""Columns of few values. Nothing is compressed beyond that: it would take several times as long as all the rest."""
_SECOND = 1_000_000_000


def open_sink(path: Path, facts: TraceFacts) -> ParquetSink:
    """A trace in the file ``path``, or below the directory ``path``. Raises `HtrunError`."""
    if find_spec("pyarrow") is None:
        raise HtrunError("the format parquet needs pyarrow; install it with: pip install 'htrun[arrow]'")
    target = path if path.suffix == SUFFIX else path / partition(facts) / f"part-0{SUFFIX}"
    if target.exists():
        raise HtrunError(f"cannot write a trace to {path}: it exists; give another, or remove it")
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HtrunError(f"cannot write a trace to {path}: {error.strerror}") from error
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise HtrunError(f"cannot write a trace to {path}: Permission denied")
    return ParquetSink(target, temporary, facts)


def partition(facts: TraceFacts) -> Path:
    """The directories of one run in the layout of Hive; values are quoted as in a URL."""
    start = time.gmtime((facts.start or time.time_ns()) // _SECOND)
    run_id = f"{time.strftime('%Y%m%dT%H%M%S', start)}-{uuid4().hex[:8]}"
    host = quote(facts.host or os.uname().nodename, safe="")
    return Path(f"run_date={time.strftime('%Y-%m-%d', start)}", f"host={host}", f"run_id={run_id}")


class ParquetSink:
    """Writes ``target``, under the name ``temporary`` until it is whole."""

    def __init__(self, target: Path, temporary: Path, facts: TraceFacts) -> None:
        self._target = target
        self._temporary = temporary
        self._tables = _Tables(facts)
        self._writer: Any = None
        self._waiting: list[Events] = []
        self._rows = 0
        self._streams: Sequence[Stream] = ()
        self._failed = False
        self._closed = False

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        """Take ``events``; they are written when there are enough of them. Raises `SinkError`."""
        self._waiting.append(events)
        self._streams = streams
        self._rows += len(events)
        if self._rows >= _ROW_GROUP:
            self._guarded(self._write_group)

    def flush(self) -> None:
        """Nothing can be done before a group is full."""

    def close(self) -> None:
        """Write what is left and give the file its name. Raises `SinkError`."""
        if self._closed:
            return
        self._closed = True
        if not self._failed:
            self._guarded(self._finish)

    def _finish(self) -> None:
        self._write_group()
        self._writer.close()
        self._temporary.replace(self._target)

    def _write_group(self) -> None:
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._temporary,
                self._tables.schema,
                compression="none",
                use_dictionary=_DICTIONARIES,
                write_statistics=["time"],
            )
        waiting, self._waiting, self._rows = self._waiting, [], 0
        if waiting:
            self._writer.write_table(self._tables.table(waiting, self._streams), row_group_size=_ROW_GROUP)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self._failed = True
            self._temporary.unlink(missing_ok=True)
            raise SinkError(f"cannot write {self._target}: {error.strerror or error}") from error


class _Tables:
    """Makes Arrow tables of events."""

    def __init__(self, facts: TraceFacts) -> None:
        self._shapes = Shapes(facts.num_args, facts.named)
        self._num_args = facts.num_args
        self._columns = max(facts.num_args, SYSCALL_ARGS)
        self._environment = {key: str(value) for key, value in facts.environment.items()}

    @cached_property
    def schema(self) -> Any:
        """The columns, and the facts of the run as the file's own metadata."""
        import pyarrow as pa

        text = pa.dictionary(pa.int32(), pa.string())
        u32, u64 = pa.uint32(), pa.uint64()
        columns = [("time", pa.timestamp("ns", "UTC")), ("pid", u32), ("tid", u32), ("vcpu", u32), ("comm", text)]
        columns += [("event", text), ("name", text), ("phase", text), ("index", u64), ("site", u32)]
        columns += [(f"arg{number}", u64) for number in range(1, self._columns + 1)]
        columns += [(name, _arrow_type(argument)) for name, (argument, _) in self._typed.items()]
        return pa.schema(columns, metadata=self._environment)

    def table(self, batches: Sequence[Events], streams: Sequence[Stream]) -> Any:
        """The table of all ``batches``."""
        import numpy as np
        import pyarrow as pa

        events = self._joined(batches)
        parts = self._shapes.split(events)
        # The place of each event's shape among all.
        shapes = np.zeros(len(events), np.int32)
        places = {shape: place for place, shape in enumerate(self._shapes.all())}
        for shape, rows in parts:
            shapes[rows] = places[shape]
        number = events["stream"].astype(np.int32)
        columns = [
            pa.array(events["time"].astype(np.int64), pa.timestamp("ns", "UTC")),
            *(pa.array(_of_streams(number, streams, field)) for field in ("pid", "tid", "vcpu")),
            _dictionary(number, [stream.comm.encode(errors="replace").decode() for stream in streams]),
            *self._titles(shapes),
            _present(events["index"], parts, lambda shape: shape.index_name is not None),
            pa.array(np.ascontiguousarray(events["site"])),
            *(self._argument(events, parts, place) for place in range(self._columns)),
            *(self._typed_column(uses, argument, parts, events) for argument, uses in self._typed.values()),
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _joined(self, batches: Sequence[Events]) -> Events:
        """One array of all ``batches``, whose events may have room for different numbers of arguments."""
        import numpy as np

        if len(batches) == 1:
            return batches[0]
        events = np.zeros(sum(len(batch) for batch in batches), event_dtype(self._columns))
        start = 0
        for batch in batches:
            part = events[start : start + len(batch)]
            for field in ("time", "stream", "site", "index", "kind"):
                part[field] = batch[field]
            given = batch["args"][:, : self._columns]
            part["args"][:, : given.shape[1]] = given
            start += len(batch)
        return events

    def _titles(self, shapes: NDArray[np.int32]) -> list[Any]:
        """The columns ``event``, ``name`` and ``phase``."""
        every = self._shapes.all()
        named = [shape.named for shape in every]
        return [
            _dictionary(shapes, [shape.definition.name for shape in every]),
            _dictionary(shapes, [event.name if event else None for event in named]),
            _dictionary(shapes, [event.phase.value if event else None for event in named]),
        ]

    def _argument(self, events: Events, parts: Sequence[tuple[Shape, Rows]], place: int) -> Any:
        """The column of an argument as it came: null for events that have fewer."""
        import pyarrow as pa

        if place >= events["args"].shape[1]:
            return pa.nulls(len(events), pa.uint64())
        counted = {definition: len(definition.argument_names(self._num_args)) > place for definition in DEFINITIONS}
        return _present(events["args"][:, place], parts, lambda shape: counted[shape.definition])

    @cached_property
    def _typed(self) -> dict[str, tuple[Argument, list[tuple[Shape, int]]]]:
        """The columns of arguments the user has named: their type, and of which shapes they are which argument."""
        columns: dict[str, tuple[Argument, list[tuple[Shape, int]]]] = {}
        for shape in self._shapes.all():
            if shape.named is None:
                continue
            for place, argument in enumerate(shape.arguments, shape.first):
                name = f"{shape.named.name}.{argument.name}"
                if name in columns and columns[name][0] != argument:
                    # A begin and an end may mean different things by one name.
                    name = f"{shape.named.name}.{shape.named.phase.value}.{argument.name}"
                columns.setdefault(name, (argument, []))[1].append((shape, place))
        return columns

    def _typed_column(
        self, uses: Sequence[tuple[Shape, int]], argument: Argument, parts: Iterable[tuple[Shape, Rows]], events: Events
    ) -> Any:
        import numpy as np
        import pyarrow as pa

        words = np.zeros(len(events), np.uint64)
        absent = np.ones(len(events), np.bool_)
        for shape, rows in parts:
            for place in [place for user, place in uses if user is shape]:
                words[rows] = events["args"][rows, place]
                absent[rows] = False
        if argument.type is not ArgumentType.ENUM:
            return pa.array(argument.values(words), mask=absent, from_pandas=False)
        used, codes = np.unique(words, return_inverse=True)
        labels = [str(argument.value(word)) for word in used.tolist()]
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=absent), pa.array(labels))


def _arrow_type(argument: Argument) -> Any:
    import pyarrow as pa

    match argument.type:
        case ArgumentType.I64:
            return pa.int64()
        case ArgumentType.F64:
            return pa.float64()
        case ArgumentType.BOOL:
            return pa.bool_()
        case ArgumentType.ENUM:
            return pa.dictionary(pa.int32(), pa.string())
        case _:
            return pa.uint64()


def _of_streams(numbers: NDArray[np.int32], streams: Sequence[Stream], field: str) -> NDArray[np.uint32]:
    import numpy as np

    return np.array([getattr(stream, field) for stream in streams], np.uint32)[numbers]


def _dictionary(codes: NDArray[np.int32], values: Sequence[str | None]) -> Any:
    """A column of texts: ``values[code]`` for each code. Equal texts are one in the file."""
    import numpy as np
    import pyarrow as pa

    texts = list(dict.fromkeys(value for value in values if value is not None))
    if not texts:
        return pa.nulls(len(codes), pa.dictionary(pa.int32(), pa.string()))
    place = {text: number for number, text in enumerate(texts)}
    renumbered = np.array([place.get(value, -1) if value is not None else -1 for value in values], np.int32)[codes]
    absent = renumbered < 0 if None in values else None
    indices = pa.array(renumbered, mask=absent)
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string()))


def _present(words: NDArray[np.uint64], parts: Sequence[tuple[Shape, Rows]], has: Callable[[Shape], bool]) -> Any:
    """The column of ``words``, null for events of the shapes that have no such field."""
    import numpy as np
    import pyarrow as pa

    without = [rows for shape, rows in parts if not has(shape)]
    if len(without) == len(parts):
        return pa.nulls(len(words), pa.uint64())
    absent = np.zeros(len(words), np.bool_)
    for rows in without:
        absent[rows] = True
    return pa.array(np.ascontiguousarray(words), mask=absent if without else None)
