"""``hypertrace query``: SQL on a trace."""

from __future__ import annotations

import json
import re
import tempfile
from typing import TYPE_CHECKING, Any

from htrun.commands.trace_arguments import FILTER_HELP, add_filter, add_trace, filter_of, open_trace
from htrun.errors import HtrunError
from htrun.reports.output import stream_out
from htrun.reports.progress import with_progress
from htrun.reports.table import printable, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from htrun.analysis.filters import Filter
    from htrun.analysis.trace import Trace

_ROWS = 1000
"""Rows printed at once; a table's columns are as wide as the first of them need."""


class QueryCommand:
    """Run an SQL query on a trace (DuckDB)."""

    examples = (
        FILTER_HELP
        + """
The table is called events; its columns are time, time_ns (since 1970), pid, tid, vcpu, comm, event, name, phase, site,
"index", num and arch (of system calls), arg1 and on. Each named event also has a table of its own name, with its own
arguments by name and type; a begin and an end of one name have NAME_begin and NAME_end.

examples:
  hypertrace query trace 'SELECT comm, count(*) FROM events GROUP BY comm'
  hypertrace query trace 'SELECT arg1, max(arg2) FROM events GROUP BY arg1 ORDER BY 2 DESC LIMIT 10' --json
  hypertrace query trace --events events.toml 'SELECT kind, sum(size) FROM io_begin GROUP BY kind'
"""
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """TRACE, SQL and how to print the answer."""
        add_trace(parser)
        parser.add_argument("sql", metavar="SQL", help="a query in DuckDB's SQL")
        parser.add_argument("--json", action="store_true", help="print a JSON object for each row, one per line")
        add_filter(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the answer; 0. Raises `HtrunError`."""
        duckdb = _require_duckdb()
        trace = open_trace(arguments)
        wanted = filter_of(arguments, trace)
        with tempfile.TemporaryDirectory(prefix="hypertrace-") as spill:
            connection = duckdb.connect(config={"temp_directory": spill})
            try:
                _fill(connection, trace, wanted)
                answer = connection.execute(arguments.sql)
                if answer is None:
                    raise HtrunError(f"{arguments.sql!r} is no query; try: 'FROM events LIMIT 9'")
                stream_out(_as_json(answer) if arguments.json else _as_table(answer))
            except duckdb.Error as error:
                raise HtrunError(f"DuckDB: {str(error).partition(chr(10))[0]}") from error
            finally:
                connection.close()
        return 0


def _require_duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise HtrunError("this needs the package duckdb; install it with: pip install 'htrun[query]'") from None
    return duckdb


def _fill(connection: Any, trace: Trace, wanted: Filter) -> None:
    """Make the tables."""
    from htrun.analysis import arrow

    tables = _table_names(trace)
    _create(connection, "all events", arrow.schema(trace).empty_table())
    for place, name in tables.items():
        _create(connection, name, arrow.typed_schema(trace.shapes.all()[place]).empty_table())
    for events in with_progress(wanted.batches(trace), len(trace), "reading"):
        _insert(connection, "all events", arrow.record_batch(trace, events))
        for shape, rows in trace.shapes.split(events):
            if shape.named is not None:
                name = tables[trace.shapes.all().index(shape)]
                _insert(connection, name, arrow.typed_batch(trace, shape, events[rows]))
    connection.execute('CREATE VIEW events AS SELECT make_timestamp_ns(time_ns) AS "time", * FROM "all events"')


def _table_names(trace: Trace) -> dict[int, str]:
    """The table of each named shape, by its place. Raises `HtrunError` if a name is taken."""
    from htrun.events.named import Phase

    names: dict[int, str] = {}
    for place, shape in enumerate(trace.shapes.all()):
        if shape.named is None:
            continue
        spans = shape.named.phase in {Phase.BEGIN, Phase.END}
        name = f"{shape.named.name}_{shape.named.phase.value}" if spans else shape.named.name
        if name.lower() in {"events", "all events", *(other.lower() for other in names.values())}:
            raise HtrunError(
                f"the named event {shape.named.name!r} would need a table {name!r}, which there is already"
            )
        names[place] = name
    return names


def _create(connection: Any, name: str, empty: Any) -> None:
    connection.register("incoming", empty)
    connection.execute(f"CREATE TABLE {_quoted(name)} AS SELECT * FROM incoming")


def _insert(connection: Any, name: str, batch: Any) -> None:
    from htrun.analysis.arrow import require_pyarrow

    connection.register("incoming", require_pyarrow().Table.from_batches([batch]))
    connection.execute(f"INSERT INTO {_quoted(name)} SELECT * FROM incoming")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _as_table(answer: Any) -> Iterator[bytes]:
    head = [column[0] for column in answer.description or []]
    right = [bool(re.search("INT|DOUBLE|FLOAT|DECIMAL", str(column[1]))) for column in answer.description or []]
    shown = False
    while rows := answer.fetchmany(_ROWS):
        cells = [[printable(_cell(cell)) for cell in row] for row in rows]
        lines = list(table(head, cells, right))
        yield "".join(lines[shown:]).encode()
        shown = True
    if not shown and head:
        yield ("  ".join(head) + "\n").encode()


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _as_json(answer: Any) -> Iterator[bytes]:
    head = [column[0] for column in answer.description or []]
    while rows := answer.fetchmany(_ROWS):
        lines = (json.dumps(dict(zip(head, row, strict=True)), default=str) for row in rows)
        yield "".join(line + "\n" for line in lines).encode()
