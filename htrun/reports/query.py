"""Evaluates SQL on a trace, with DuckDB and the tables of `htrun.analysis.tables`. Prints answers as text, JSON, CSV
and Markdown."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from htrun.analysis.arrow import require_pyarrow
from htrun.analysis.tables.events import EventTable, NamedTable, event_table_names
from htrun.analysis.tables.spans import SpanTable
from htrun.analysis.tables.table import SmallTable
from htrun.analysis.tables.threads import ThreadColumns
from htrun.errors import HtrunError
from htrun.intercept.site_facts import is_site, sites_of
from htrun.reports.exports import csv_text, markdown_table
from htrun.reports.progress import with_progress
from htrun.reports.table import printable, table

if TYPE_CHECKING:
    from htrun.analysis.filters import Filter
    from htrun.analysis.tables.table import Table
    from htrun.analysis.trace import Trace

PUBLIC = ("events", "spans", "threads", "sites", "run")
"""The tables that every trace has. In addition, there is a table for each named event."""
_ROWS = 1000
"""The number of rows that are fetched and printed together. The first of these batches determines the widths of a
table's columns."""


def tables_of(trace: Trace, wanted: Filter) -> dict[str, Table]:
    """The tables of ``trace`` by name. ``wanted``: selects the events that the tables contain."""
    threads = ThreadColumns(trace.streams)
    watch = partial(with_progress, total=len(trace), what="reading")
    found: dict[str, Table] = {
        "events": EventTable(trace, threads, wanted, watch),
        "spans": SpanTable(trace, threads, wanted, watch),
        "threads": _threads(trace),
        "sites": _sites(trace),
        "run": _run(trace),
    }
    for name, shape in event_table_names(trace, PUBLIC).items():
        found[name] = NamedTable(trace, threads, wanted, watch, shape)
    return found


def _threads(trace: Trace) -> SmallTable:
    arrow = require_pyarrow()
    ids, count = arrow.uint32(), arrow.uint64()
    columns = {"tid": ids, "pid": ids, "vcpu": ids, "comm": arrow.string(), "start_ns": arrow.int64(), "lost": count}

    def build(_: Sequence[str]) -> Mapping[str, Sequence[object]]:
        streams = trace.streams
        values: dict[str, Sequence[object]] = {
            name: [getattr(stream, name) for stream in streams] for name in ("tid", "pid", "vcpu", "comm")
        }
        # Some recordings do not contain the times at which threads started.
        return values | {"start_ns": [stream.start or None for stream in streams], "lost": trace.discarded}

    return SmallTable(arrow.schema(columns.items()), build)


def _sites(trace: Trace) -> SmallTable:
    arrow = require_pyarrow()
    number, word, text = arrow.uint32(), arrow.uint64(), arrow.string()
    columns = {"site": number, "pid": number, "address": word, "instruction": text, "file": text, "offset": word}

    def build(wanted: Sequence[str]) -> Mapping[str, Sequence[object]]:
        known = sites_of(trace.environment)
        values: dict[str, Sequence[object]] = {
            name: [getattr(facts, name) for facts in known.values()] for name in columns if name != "site"
        }
        values["site"] = list(known)
        if "symbol" in wanted:
            # The names of functions are looked up in the program's files, which takes time.
            values["symbol"] = [facts.name for facts in known.values()]
        return values

    return SmallTable(arrow.schema([*columns.items(), ("symbol", text)]), build)


def _run(trace: Trace) -> SmallTable:
    arrow = require_pyarrow()
    text = arrow.string()

    def build(_: Sequence[str]) -> Mapping[str, Sequence[object]]:
        facts = {name: str(value) for name, value in trace.environment.items() if not is_site(name)}
        return {"name": list(facts), "value": list(facts.values())}

    return SmallTable(arrow.schema([("name", text), ("value", text)]), build)


class Listing:
    """The answer to SHOW TABLES, with the interface of a DuckDB answer.

    Loading DuckDB and Arrow takes longer than a user should wait for a list of names.
    """

    description: Sequence[tuple[str, str]] = (("name", "VARCHAR"),)

    def __init__(self, trace: Trace) -> None:
        names = [*PUBLIC, *event_table_names(trace, PUBLIC)]
        self._rows = [(name,) for name in sorted(names)]

    def fetchmany(self, count: int) -> list[tuple[str]]:
        """Return the next ``count`` rows."""
        rows, self._rows = self._rows[:count], self._rows[count:]
        return rows

    def fetchall(self) -> list[tuple[str]]:
        """Return all remaining rows."""
        return self.fetchmany(len(self._rows))


_SHOW_TABLES = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)


@contextmanager
def answer_to(sql: str, trace: Trace, wanted: Filter) -> Iterator[Any]:
    """A context manager for DuckDB's answer to the query ``sql`` on ``trace``. The answer must be read within its
    block.

    Raises `HtrunError`, even while the answer is read.
    """
    if _SHOW_TABLES.fullmatch(sql):
        yield Listing(trace)
        return
    duckdb = _require_duckdb()
    tables = tables_of(trace, wanted)
    # Imported only after pyarrow is known to be installed.
    from htrun.analysis.tables.lazy import Lazy

    datasets = {name: Lazy(table) for name, table in tables.items()}
    with tempfile.TemporaryDirectory(prefix="hypertrace-") as spill:
        connection = duckdb.connect(config={"temp_directory": spill})
        try:
            for name, dataset in datasets.items():
                connection.register(name, dataset)
            answer = connection.execute(sql)
            if answer is None or not answer.description:
                raise HtrunError(f"{sql!r} is not a query; try: 'FROM events LIMIT 9'")
            yield answer
        except duckdb.Error as error:
            for dataset in datasets.values():
                if dataset.failure is not None:
                    raise dataset.failure from None
            raise HtrunError(f"DuckDB: {str(error).partition(chr(10))[0]}") from error
        finally:
            connection.close()


def _require_duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise HtrunError("this needs the package duckdb; install it with: pip install 'htrun[query]'") from None
    return duckdb


def as_text(answer: Any) -> Iterator[bytes]:
    """The rows of ``answer`` as a table of text."""
    head, right = _head(answer)
    shown = False
    while rows := answer.fetchmany(_ROWS):
        cells = [[printable(_cell(cell)) for cell in row] for row in rows]
        lines = list(table(head, cells, right))
        yield "".join(lines[shown:]).encode()
        shown = True
    if not shown and head:
        yield ("  ".join(head) + "\n").encode()


def as_json(answer: Any) -> Iterator[bytes]:
    """A JSON object for each row of ``answer``, one per line."""
    head, _ = _head(answer)
    while rows := answer.fetchmany(_ROWS):
        lines = (json.dumps(dict(zip(head, row, strict=True)), default=_plain) for row in rows)
        yield "".join(line + "\n" for line in lines).encode()


def _plain(value: object) -> object:
    """``value`` converted to a type that JSON can represent."""
    return float(value) if isinstance(value, Decimal) else str(value)


def as_csv(answer: Any) -> Iterator[bytes]:
    """The rows of ``answer`` as comma-separated values."""
    head, _ = _head(answer)
    yield csv_text(head, ()).encode()
    while rows := answer.fetchmany(_ROWS):
        cells = [[_cell(cell) if isinstance(cell, Decimal) else cell for cell in row] for row in rows]
        yield csv_text((), cells).removeprefix("\n").encode()


def as_markdown(answer: Any) -> Iterator[bytes]:
    """The rows of ``answer`` as a table for a document."""
    head, right = _head(answer)
    rows = [[printable(_cell(cell)) for cell in row] for row in answer.fetchall()]
    yield markdown_table(head, rows, right).encode()


def _head(answer: Any) -> tuple[list[str], list[bool]]:
    """The names of the columns, and whether each is aligned to the right."""
    columns = answer.description or []
    return [column[0] for column in columns], [
        bool(re.search("INT|DOUBLE|FLOAT|DECIMAL", str(column[1]))) for column in columns
    ]


def _cell(value: object) -> str:
    # Otherwise Python would write small decimal numbers with an exponent.
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
