"""Parquet, read back by pyarrow and DuckDB."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from hypothesis import given, settings

from htrun.errors import HtrunError
from htrun.events.arguments import ArgumentType
from htrun.events.definitions import HYPERTRACE
from htrun.events.sink import SinkError
from htrun.sinks.facts import TraceFacts
from htrun.sinks.parquet import open_sink
from tests.support.batches import NAMED, NUM_ARGS, STREAMS, Row, batch, rows

FACTS = TraceFacts(NUM_ARGS, NAMED, start=1_700_000_000 * 10**9, host="a/b", environment={"command": "./app", "n": 3})


def write(path: Path, some: list[Row]) -> None:
    sink = open_sink(path, FACTS)
    middle = len(some) // 2
    # Batches may have room for different numbers of arguments.
    for part, room in ((some[:middle], 8), (some[middle:], 9)):
        sink.write(batch(part, room), STREAMS)
    sink.flush()
    sink.close()
    sink.close()


def expected(row: Row) -> dict[str, Any]:
    """The values of the columns that are not null."""
    stream = STREAMS[row.stream]
    values: dict[str, Any] = {"pid": stream.pid, "tid": stream.tid, "vcpu": stream.vcpu, "comm": stream.comm}
    values |= {"event": row.name, **row.numbers}
    values |= {f"arg{number}": word for number, word in enumerate(row.args, 1)}
    named = NAMED.lookup(row.args[0]) if row.kind == 0 else None
    if named is not None:
        values |= {"name": named.name, "phase": named.phase.value}
        for argument, word in zip(named.arguments, row.args[1:], strict=False):
            value = argument.value(word)
            values[f"{named.name}.{argument.name}"] = str(value) if argument.type is ArgumentType.ENUM else value
    return values


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    return {key: "NaN" if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


@settings(max_examples=30, deadline=None)
@given(rows())
def test_every_event_is_read_back(some: list[Row]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "trace.parquet"
        write(path, some)
        table = pyarrow.parquet.read_table(path)
    assert table.column("time").cast(pa.int64()).to_pylist() == [row.time for row in some]
    assert table.schema.metadata[b"command"] == b"./app"
    for row, found in zip(some, table.drop_columns(["time"]).to_pylist(), strict=True):
        present = {key: value for key, value in found.items() if value is not None}
        assert comparable(present) == comparable(expected(row))


def test_columns_have_the_types_of_the_arguments(tmp_path: Path) -> None:
    write(tmp_path / "trace.parquet", [])
    schema = pyarrow.parquet.read_schema(tmp_path / "trace.parquet")
    assert schema.field("time").type == pa.timestamp("ns", "UTC")
    kinds = {name: str(schema.field(name).type) for name in ("arg1", "io.size", "io.result", "io.ok", "job.ratio")}
    assert kinds == {
        "arg1": "uint64",
        "io.size": "uint64",
        "io.result": "int64",
        "io.ok": "bool",
        "job.ratio": "double",
    }


def test_columns_are_those_that_the_events_of_a_trace_have(tmp_path: Path) -> None:
    """Writing columns that are never null takes half the time."""
    sink = open_sink(tmp_path / "a.parquet", TraceFacts(2, kinds=(HYPERTRACE,)))
    sink.write(batch([Row(1, 0, 5, 0, (9, 2**64 - 1))]), STREAMS)
    sink.close()
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert [name for name in table.schema.names if name.startswith("arg")] == ["arg1", "arg2"]
    assert [field.name for field in table.schema if field.nullable] == ["name", "phase", "num", "arch"]
    assert table.select(["index", "arg1", "arg2"]).to_pylist() == [{"index": 5, "arg1": 9, "arg2": 2**64 - 1}]


def test_runs_are_partitions_of_one_directory(tmp_path: Path) -> None:
    some = [Row(1_700_000_001 * 10**9 + number, 0, 0, 0, (9, 0, 0, 0)) for number in range(3)]
    write(tmp_path / "runs", some)
    write(tmp_path / "runs", some[:2])
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert [path.parts[:3] for path in files] == [("runs", "run_date=2023-11-14", "host=a%2Fb")] * 2
    table = pyarrow.dataset.dataset(tmp_path / "runs", partitioning="hive").to_table()
    assert len(table) == 5
    columns = "run_date::VARCHAR, host, count(DISTINCT run_id), count(*)"
    query = f"SELECT {columns} FROM '{tmp_path}/runs/**/*.parquet' GROUP BY ALL"
    assert duckdb.connect().execute(query).fetchall() == [("2023-11-14", "a/b", 2, 5)]


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    sink = open_sink(tmp_path / "trace.parquet", FACTS)
    events = np.repeat(batch([Row(1, 0, 0, 0, (9, 0, 0, 0))]), 1 << 18)
    sink.write(events, STREAMS)
    sink.write(events[:5], STREAMS)
    assert not (tmp_path / "trace.parquet").exists()
    sink.close()
    assert pyarrow.parquet.read_metadata(tmp_path / "trace.parquet").num_rows == len(events) + 5
    assert len(list(tmp_path.iterdir())) == 1


def test_a_directory_that_vanishes_is_a_failure_of_the_sink(tmp_path: Path) -> None:
    sink = open_sink(tmp_path / "inner" / "trace.parquet", FACTS)
    (tmp_path / "inner").rmdir()
    with pytest.raises(SinkError, match=r"trace\.parquet"):
        sink.close()


def test_bad_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "old.parquet").write_text("precious")
    for path, reason in (("file", "Not a directory|File exists"), ("old.parquet", "it exists")):
        with pytest.raises(HtrunError, match=reason):
            open_sink(tmp_path / path, FACTS)
