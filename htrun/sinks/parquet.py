"""Parquet, with typed columns, for DuckDB, Spark, ClickHouse, pandas and others.

If PATH ends in ``.parquet``, the trace is one file. Any other PATH is a directory in the layout of Hive, to which each
run adds a file::

    PATH/run_date=2026-01-31/host=name/run_id=20260131T101500-1a2b3c4d/part-0.parquet

Columns: ``time`` (ns, UTC), ``pid``, ``tid``, ``vcpu``, ``comm``, ``event``, ``name`` and ``phase`` (null if the user
has not named the event), ``site`` and ``index`` (null for system calls), ``num`` and ``arch`` (null for other events),
``arg1`` ... as u64. For each argument that the user has named, there is also a column ``NAME.ARGUMENT``. It has the
argument's type, and is null for other events.

A file gets its name only when it is complete. The rows of a file are in groups of about a hundred thousand. The events
of a run can be read only after the run has ended. A separate thread writes one group while the next group is filled.
"""

from __future__ import annotations

import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from htrun.errors import HtrunError
from htrun.events.sink import FormatSink, SinkError
from htrun.sinks.parquet_columns import Columns, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.sinks.facts import TraceFacts

SUFFIX = ".parquet"
_ROW_GROUP = 1 << 17
"""The number of rows in a group. Readers skip or read whole groups."""
_SECOND = 1_000_000_000


def open_sink(path: Path, facts: TraceFacts) -> ParquetSink:
    """A sink that writes a trace to the file ``path``, or below the directory ``path``. Raises `HtrunError`."""
    if find_spec("pyarrow") is None:
        raise HtrunError("the format parquet needs pyarrow; install it with: pip install 'htrun[arrow]'")
    target = path if path.suffix == SUFFIX else path / partition(facts) / f"part-0{SUFFIX}"
    if target.exists():
        raise HtrunError(f"cannot write a trace to {path}: it exists; give another, or -f to replace it")
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HtrunError(f"cannot write a trace to {path}: {error.strerror}") from error
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise HtrunError(f"cannot write a trace to {path}: Permission denied")
    return ParquetSink(target, temporary, facts)


def partition(facts: TraceFacts) -> Path:
    """The directories of one run in the layout of Hive. Values are quoted as in a URL."""
    start = time.gmtime((facts.start or time.time_ns()) // _SECOND)
    run_id = f"{time.strftime('%Y%m%dT%H%M%S', start)}-{uuid4().hex[:8]}"
    host = quote(facts.host or os.uname().nodename, safe="")
    return Path(f"run_date={time.strftime('%Y-%m-%d', start)}", f"host={host}", f"run_id={run_id}")


class ParquetSink(FormatSink):
    """Writes the file ``target``. Until the file is complete, its name is ``temporary``."""

    def __init__(self, target: Path, temporary: Path, facts: TraceFacts) -> None:
        super().__init__(str(target))
        self._target = target
        self._temporary = temporary
        self._schema = Schema(facts)
        self._writer: Any = None
        self._file: IO[bytes] = io.BytesIO()
        self._thread = ThreadPoolExecutor(1, "parquet")
        self._written: Future[None] | None = None
        self._filled: Columns | None = None
        self._spare: Columns | None = None
        self._streams: Sequence[Stream] = ()

    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        """Collect ``events``. They are written when there are enough events for a group; an earlier `flush` does not
        write them."""
        self._streams = streams
        while len(events):
            if self._filled is None:
                self._filled = Columns(self._schema, _ROW_GROUP)
            events = events[self._filled.add(events) :]
            if self._filled.full:
                self._write_group()

    def _finish(self) -> None:
        """Write the remaining events and give the file its name."""
        self._write_group()
        self._await()
        self._submit(self._complete)
        self._await()

    def _release(self) -> None:
        self._thread.shutdown()
        # The writer is already closed, unless an action has failed. In this case the writer's buffer is not needed.
        with suppress(OSError):
            self._file.close()

    def _write_group(self) -> None:
        """Pass the collected events to the writing thread. When the previous group is written, reuse its columns."""
        self._await()
        filled, self._filled, self._spare = self._filled, self._spare, self._filled
        if self._filled is not None:
            self._filled.clear()
        table = filled.table(self._streams) if filled is not None else None
        self._submit(lambda: self._put(table))

    def _put(self, table: Any) -> None:
        if self._writer is None:
            self._writer = self._open()
        if table is not None:
            self._writer.write_table(table, row_group_size=_ROW_GROUP)

    def _open(self) -> Any:
        """Open the file.

        The data is encoded but not compressed, since compression would take several times as long as all other work.
        """
        import pyarrow.parquet as pq

        # Open the file here, since Arrow accepts only paths in UTF-8.
        self._file = self._temporary.open("wb")
        return pq.ParquetWriter(
            self._file,
            self._schema.arrow,
            compression="none",
            use_dictionary=self._schema.dictionaries,
            column_encoding=self._schema.encodings,
            write_statistics=["time"],
        )

    def _complete(self) -> None:
        self._writer.close()
        self._file.close()
        self._temporary.replace(self._target)

    def _submit(self, action: Callable[[], None]) -> None:
        self._written = self._thread.submit(action)

    def _await(self) -> None:
        """Wait until the previous group is written. Raises `SinkError`."""
        written, self._written = self._written, None
        try:
            if written is not None:
                written.result()
        except OSError as error:
            self._temporary.unlink(missing_ok=True)
            # Arrow replaces the system's message with its own message, so the system's message is restored.
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise SinkError(f"cannot write {self._target}: {reason}") from error
