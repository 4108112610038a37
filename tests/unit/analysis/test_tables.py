"""A trace as tables: SQL returns the values of the events, and only the part of the trace that a query needs is
read."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
import pytest

import htrun
from htrun.analysis.expressions import Expression
from htrun.analysis.filters import Filter, field_names
from htrun.errors import HtrunError
from htrun.events.records import RING_SITE
from htrun.events.stream import Stream
from htrun.events.window import BATCH, EVERYTHING, Window
from htrun.reports.query import answer_to, as_csv, as_json, as_markdown, as_text, tables_of
from tests.support.spans import BEGIN, NAMES, PER_REQUEST, trace_of_requests
from tests.support.toolchain import ROOT
from tests.unit.analysis.made import FACTS, Made

if TYPE_CHECKING:
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events

EVENTS = 4_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trace_of_requests(tmp_path_factory.mktemp("tables") / "trace", EVENTS)


@pytest.fixture
def trace(path: Path) -> Trace:
    return htrun.open(path)


def rows(trace: Trace, sql: str, wanted: Filter | None = None) -> list[tuple[Any, ...]]:
    """The answer to ``sql``."""
    with answer_to(sql, trace, wanted or Filter()) as answer:
        found: list[tuple[Any, ...]] = answer.fetchall()
        return found


class Reads:
    """Remembers which windows of a trace are read."""

    def __init__(self, trace: Trace, patch: pytest.MonkeyPatch) -> None:
        self.windows: list[Window] = []
        self.events = 0
        read = trace.events

        def events(window: Window = EVERYTHING, size: int = BATCH, *, texts: bool = False) -> Iterator[Events]:
            self.windows.append(window)
            for batch in read(window, size, texts=texts):
                self.events += len(batch)
                yield batch

        patch.setattr(trace, "events", events)


@pytest.mark.parametrize(
    "sql", ["SHOW TABLES", "SHOW ALL TABLES", "DESCRIBE events", "FROM run", "FROM threads", "FROM sites"]
)
def test_nothing_is_read_for_what_is_known(trace: Trace, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    reads = Reads(trace, monkeypatch)
    rows(trace, sql)
    assert reads.windows == []


def test_the_tables(trace: Trace) -> None:
    named = ["job_begin", "job_end", "miss", "parse_begin", "parse_end", "queue", "request_begin", "request_end"]
    assert [name for (name,) in rows(trace, "SHOW TABLES")] == sorted(
        ["events", "run", "sites", "spans", "threads", *named]
    )


@pytest.mark.parametrize("sql", ["show tables", "  SHOW\nTables ; "])
def test_the_list_of_tables_is_that_of_duckdb(trace: Trace, sql: str) -> None:
    assert rows(trace, sql) == rows(trace, "SELECT * FROM (SHOW TABLES)")
    with answer_to(sql, trace, Filter()) as answer:
        assert b"".join(as_text(answer)).decode().splitlines()[:3] == ["name", "events", "job_begin"]


def test_every_column_of_events(trace: Trace) -> None:
    whole = trace.to_numpy()
    columns = "id, time_ns, seconds, pid, tid, vcpu, comm, event, name, phase, site, index, num, arg1, arg2, arg3"
    found = rows(trace, f"SELECT {columns} FROM events ORDER BY id")
    for number, (row, event, raw) in enumerate(zip(found, trace, whole, strict=True), 1):
        stream = event.stream
        assert row == (
            number, event.time, row[2], stream.pid, stream.tid, stream.vcpu, stream.comm, "guest_hypertrace",
            event.name, event.phase.value, event.site, event.index, None, *raw["args"].tolist(),
        )  # fmt: skip
        assert int(row[2].scaleb(9)) == event.time - BEGIN


CONDITIONS = {
    "time_ns < {}": lambda times, t: times < t,
    "time_ns = {}": lambda times, t: times == t,
    "time_ns BETWEEN {} AND {} + 100000": lambda times, t: (times >= t) & (times <= t + 100_000),
    "time_ns > {} OR time_ns < 1700000000000050000": lambda times, t: (times > t) | (times < BEGIN + 50_000),
    "time_ns IN ({}, 7)": lambda times, t: times == t,
    "time_ns != {}": lambda times, t: times != t,
    "NOT time_ns > {}": lambda times, t: times <= t,
    "time >= make_timestamp_ns({})": lambda times, t: times >= t,
    "seconds * 1000000000 < {} - 1700000000000000000": lambda times, t: times < t,
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("place", [0, 1, 1999, EVENTS - 1])
def test_conditions_on_time(trace: Trace, condition: str, place: int) -> None:
    times = trace.to_numpy()["time"].astype(np.int64)
    moment = int(times[place])
    expected = (np.flatnonzero(CONDITIONS[condition](times, moment)) + 1).tolist()
    where = condition.replace("{}", str(moment))
    assert [number for (number,) in rows(trace, f"SELECT id FROM events WHERE {where} ORDER BY id")] == expected
    assert rows(trace, f"SELECT count(*) FROM events WHERE {where}") == [(len(expected),)]


def test_only_the_part_that_a_condition_allows_is_read(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, end = trace.duration or (0, 0)
    reads = Reads(trace, monkeypatch)
    middle = (end - begin) / 2e9
    sql = f"SELECT count(*) FROM events WHERE seconds BETWEEN {middle:.9f} AND {middle:.9f} + 0.00001"
    [(count,)] = rows(trace, sql)
    [window] = reads.windows
    assert count <= reads.events < EVENTS / 20
    assert window.end - window.begin <= (end - begin) / 40
    assert rows(trace, "SELECT * FROM events WHERE seconds > 1000") == []
    assert len(reads.windows) == 1


def test_conditions_on_other_columns(trace: Trace) -> None:
    whole = trace.to_numpy()
    expected = int(((whole["stream"] == 1) & (whole["args"][:, 0] == 3)).sum())
    where = "comm = 'worker-1' AND name = 'parse' AND phase IN ('begin', 'counter')"
    assert rows(trace, f"SELECT count(*) FROM events WHERE {where}") == [(expected,)]
    assert rows(trace, "SELECT count(*) FROM events WHERE comm IS NULL OR num IS NOT NULL") == [(0,)]


def test_a_named_event_has_its_own_columns(trace: Trace) -> None:
    [(reads, writes)] = rows(
        trace, "SELECT count(*) FILTER (kind = 'READ'), count(*) FILTER (kind = 'WRITE') FROM request_begin"
    )
    kinds = [event.values["kind"] for event in trace if event.name == "request" and event.phase.value == "begin"]
    assert (reads, writes) == (kinds.count("READ"), kinds.count("WRITE"))
    joined = "SELECT count(*) FROM request_begin JOIN events USING (id) WHERE events.name = 'request' AND arg2 = number"
    assert rows(trace, joined) == [(len(kinds),)]
    assert rows(trace, "SELECT min(result) FROM request_end") == [(-5,)]


def test_every_column_of_spans(trace: Trace) -> None:
    events = [None, *trace]
    found = rows(trace, 'SELECT * EXCLUDE (begin, "end") FROM spans ORDER BY id')
    assert len(found) == 3 * EVENTS // PER_REQUEST
    for row in found:
        name, key, begin_ns, end_ns, seconds, duration, tid, pid, vcpu, comm, end_tid, *others = row
        number, end_number, parent, depth, trapped, begin_args, end_args = others
        begin, end = events[number], events[end_number]
        assert begin is not None
        assert end is not None
        assert (name, name) == (begin.name, end.name)
        assert (key is not None) == (name == "job")
        assert key in (None, begin.values.get("key"))
        assert (begin_ns, end_ns, duration) == (begin.time, end.time, end.time - begin.time)
        assert int(seconds.scaleb(9)) == begin.time - BEGIN
        stream = begin.stream
        assert (tid, pid, vcpu, comm, end_tid) == (stream.tid, stream.pid, stream.vcpu, stream.comm, end.stream.tid)
        assert (tuple(begin_args), tuple(end_args)) == (begin.args, end.args)
        around = None if parent is None else events[parent]
        assert depth == (name != "request")
        assert (around and around.name) == ("request" if depth else None)
        # The first event of each thread, except the thread whose events have no site, because these never trap.
        assert trapped == (name == "request" and number <= len(trace.streams) and begin.site != RING_SITE)
    assert rows(trace, 'SELECT count(*) FROM spans WHERE epoch_ns("begin") = begin_ns') == [(len(found),)]


def test_the_command_lines_filter_holds_for_the_begins_of_spans(trace: Trace) -> None:
    wanted = Filter(Window(BEGIN + 100_000, BEGIN + 900_000, frozenset({1, 2})), ("par*",))
    every = "SELECT id, name, begin_ns, vcpu FROM spans ORDER BY id"
    expected = [
        row
        for row in rows(trace, every)
        if row[1] == "parse" and BEGIN + 100_000 <= row[2] < BEGIN + 900_000 and row[3] in (1, 2)
    ]
    assert rows(trace, every, wanted) == expected


def test_spans_in_python(trace: Trace) -> None:
    spans = trace.spans()
    array, table = spans.to_numpy(), spans.to_arrow()
    assert len(spans) == len(array) == table.num_rows == 3 * EVENTS // PER_REQUEST
    assert spans.unpaired == {}
    columns = (
        "id, end_id, coalesce(parent, 0), coalesce(key, 0), begin_ns, end_ns, duration, depth, trapped, name, vcpu"
    )
    fields = ["id", "end_id", "parent", "key", "begin", "end", "duration", "depth", "trapped"]
    expected = rows(trace, f"SELECT {columns} FROM spans ORDER BY id")
    assert [
        (*row, spans.names[name], trace.streams[stream].vcpu)
        for row, name, stream in zip(array[fields].tolist(), array["name"], array["stream"], strict=True)
    ] == expected
    assert [tuple(row.values()) for row in table.select(["id", "name"]).to_pylist()] == [
        (row[0], row[-2]) for row in expected
    ]


def test_a_trace_without_spans(tmp_path: Path) -> None:
    trace = htrun.open(Made(tmp_path / "trace").packet(Stream(1, 1), [BEGIN], [[3, 4]]).close())
    spans = trace.spans()
    assert (len(spans), len(spans.to_numpy()), spans.to_arrow().num_rows, spans.names) == (0, 0, 0, ())
    assert rows(trace, "FROM spans") == []
    empty = htrun.open(Made(tmp_path / "empty").close())
    assert len(empty.spans().to_numpy()) == 0


def test_a_data_frame_needs_pandas(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for source in (trace, trace.spans()):
        with pytest.raises(HtrunError, match="needs the package pandas; install it with: pip install pandas"):
            source.to_pandas()


def test_data_frames_round_no_number(tmp_path: Path) -> None:
    """Also in columns in which values are missing, and also numbers that floats cannot hold."""
    key = 2**63 + 1
    thread, events = Stream(1, 1), [[7, key, 0], [3, 0, 0], [4, 0, 0], [8, key, 0], [2, 2**63 - 1, 0]]
    times = [BEGIN + 10 * number for number in range(len(events))]
    made = Made(tmp_path / "trace", 3, {**FACTS, "named_events": NAMES})
    trace = htrun.open(made.packet(thread, times, events).close())
    spans = trace.spans().to_pandas()
    assert spans["key"].dtype == "UInt64"
    found = dict(zip(spans["name"], spans["key"], strict=True))
    assert (found["job"], found["parse"] is pandas.NA) == (key, True)
    assert spans["parent"].isna().all()
    assert spans["begin_ns"].tolist() == times[:2]
    table = trace.to_pandas()
    assert table["arg2"].tolist() == [row[1] for row in events]
    assert table["job.key"].dropna().tolist() == [key, key]
    assert table["request.result"].dropna().tolist() == [2**63 - 1]
    assert table["num"].isna().all()


def test_the_command_lines_filter_holds_for_all_tables_of_events(trace: Trace) -> None:
    begin, _ = trace.duration or (0, 0)
    where = Expression.parse("arg1 < 4", field_names(trace))
    wanted = Filter(Window(begin + 100_000, begin + 900_000, frozenset({1, 2})), ("request", "parse"), where)
    kept = [
        (number, event)
        for number, event in enumerate(trace, 1)
        if begin + 100_000 <= event.time < begin + 900_000
        and event.stream.vcpu in (1, 2)
        and event.name in ("request", "parse")
        and event.args[0] < 4
    ]
    assert rows(trace, "SELECT id FROM events ORDER BY id", wanted) == [(number,) for number, _ in kept]
    ends = [number for number, event in kept if event.name == "request" and event.phase.value == "end"]
    assert rows(trace, "SELECT id FROM request_end ORDER BY id", wanted) == [(number,) for number in ends]


def test_names_that_are_taken(tmp_path: Path) -> None:
    names = "".join(
        f'[[event]]\nid = {number}\nname = "{name}"\nargs = ["Time", "time_"]\n'
        for number, name in enumerate(("events", "EVENTS_", "run", "a-b"), 1)
    )
    made = Made(tmp_path / "trace", 3, {**FACTS, "named_events": names})
    trace = htrun.open(made.packet(Stream(1, 1), [BEGIN], [[3, 4, 5]]).close())
    public = {"events", "run", "sites", "spans", "threads"}
    assert set(tables_of(trace, Filter())) == public | {"events_", "EVENTS__", "run_", "a-b"}
    assert rows(trace, "SHOW TABLES") == rows(trace, "SELECT * FROM (SHOW TABLES)")
    assert rows(trace, "SELECT Time_, time__ FROM run_") == [(4, 5)]
    assert rows(trace, 'FROM "a-b"') == []
    assert ("command", "app") in rows(trace, "FROM run")


def test_a_failure_while_events_are_read_keeps_its_words(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trace.to_numpy()[:1]

    def broken(*_: object, **__: object) -> Iterator[Events]:
        yield first
        raise HtrunError("the disk is gone")

    monkeypatch.setattr(trace, "events", broken)
    with pytest.raises(HtrunError, match="the disk is gone") as failure:
        rows(trace, "SELECT sum(arg1) FROM events")
    assert str(failure.value) == "the disk is gone"


def test_an_interrupt_while_events_are_read_stays_one(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[Events]:
        raise KeyboardInterrupt

    monkeypatch.setattr(trace, "events", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rows(trace, "SELECT sum(arg1) FROM events")


@pytest.mark.parametrize("table", ["events", "spans", "threads", "sites", "run"])
def test_the_document_lists_every_column(trace: Trace, table: str) -> None:
    text = (ROOT / "docs" / "formats.md").read_text()
    [row] = re.findall(rf"^\| `{table}` \| .* \| (.*) \|$", text, re.MULTILINE)
    columns = [name for name, *_ in rows(trace, f"DESCRIBE {table}")]
    assert re.findall(r"`(\w+)`", row) == [name for name in columns if name not in ("arg2", "arg3")]


def test_a_trace_without_events(tmp_path: Path) -> None:
    trace = htrun.open(Made(tmp_path / "trace").close())
    assert rows(trace, "SELECT count(*) FROM events WHERE seconds > 1") == [(0,)]
    assert rows(trace, "FROM threads") == []


def test_forms(trace: Trace) -> None:
    sql = "SELECT 'a|b' AS x, 1.5::DECIMAL(4, 2) AS y, NULL AS z"
    found = []
    for form in (as_text, as_json, as_csv, as_markdown):
        with answer_to(sql, trace, Filter()) as answer:
            found.append(b"".join(form(answer)).decode())
    assert found == [
        "x       y  z\na|b  1.50\n",
        '{"x": "a|b", "y": 1.5, "z": null}\n',
        "x,y,z\na|b,1.50,\n",
        "| x | y | z |\n| --- | ---: | --- |\n| a\\|b | 1.50 |  |\n",
    ]
