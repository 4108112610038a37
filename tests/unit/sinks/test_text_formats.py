"""JSON lines, CSV and Chrome's format, read back by Python's own readers."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from htrun.events.arguments import Argument, ArgumentType
from htrun.events.named import NamedEvent, Phase
from htrun.events.shapes import Shapes
from htrun.events.sink import SinkError
from htrun.sinks import chrome, jsonl
from htrun.sinks import csv as csv_sink
from htrun.sinks.facts import TraceFacts
from htrun.sinks.output import Output
from htrun.sinks.registry import by_name
from htrun.sinks.text import TextSink
from tests.support.batches import NAMED, NUM_ARGS, STREAMS, Row, batch, rows

FACTS = TraceFacts(NUM_ARGS, NAMED)


def written(name: str, some: list[Row], facts: TraceFacts = FACTS) -> bytes:
    """``some`` events in the format ``name``, written in two batches."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "trace"
        sink = by_name(name).open(path, facts)
        middle = len(some) // 2
        for part in (some[:middle], some[middle:]):
            sink.write(batch(part), STREAMS)
        sink.flush()
        sink.close()
        sink.close()
        return path.read_bytes()


def named_event(row: Row) -> NamedEvent | None:
    return NAMED.lookup(row.args[0]) if row.kind == 0 else None


def arguments(row: Row) -> list[tuple[Argument, int]]:
    event = named_event(row)
    if event is not None:
        return list(zip(event.arguments, row.args[1:], strict=False))
    return [(Argument(name), word) for name, word in row.fields.items()]


def json_value(argument: Argument, word: int) -> Any:
    """A value as in JSON."""
    value = argument.value(word)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def no_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


@settings(max_examples=50, deadline=None)
@given(rows())
def test_json_lines_say_what_was_written(some: list[Row]) -> None:
    lines = written("jsonl", some).decode().split("\n")
    assert lines.pop() == ""
    for row, line in zip(some, lines, strict=True):
        found, event, stream = json.loads(line, parse_constant=no_constant), named_event(row), STREAMS[row.stream]
        assert (found["time_ns"], found["event"]) == (row.time, row.name)
        assert [found[key] for key in ("pid", "tid", "vcpu", "comm")] == [
            stream.pid,
            stream.tid,
            stream.vcpu,
            stream.comm,
        ]
        assert (found.get("name"), found.get("phase")) == ((event.name, event.phase.value) if event else (None, None))
        shown = {name: number for name, number in row.numbers.items() if name != "site"}
        assert {name: found[name] for name in ("index", "num", "arch") if name in found} == shown
        assert found.get("args", {}) == {argument.name: json_value(argument, word) for argument, word in arguments(row)}


@settings(max_examples=50, deadline=None)
@given(rows())
def test_csv_says_what_was_written(some: list[Row]) -> None:
    text = written("csv", some).decode()
    assert text.count("\r\n") >= len(some) + 1
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    for row, found in zip(some, table, strict=True):
        event, stream = named_event(row), STREAMS[row.stream]
        assert None not in found
        assert (found["time_ns"], found["tid"], found["comm"]) == (str(row.time), str(stream.tid), stream.comm)
        assert (found["event"], found["name"]) == (row.name, event.name if event else "")
        for name in ("index", "num", "arch"):
            assert found[name] == str(row.numbers.get(name, ""))
        values = [str(row.args[0])] if event else []
        for argument, word in arguments(row):
            value = argument.value(word)
            values.append(str(value).lower() if isinstance(value, bool) else str(value))
        columns = [found[key] for key in found if key.startswith("arg")]
        assert columns == values + [""] * (len(columns) - len(values))


CHROME_PHASES = {Phase.INSTANT: "i", Phase.BEGIN: "B", Phase.END: "E", Phase.COUNTER: "C"}


@settings(max_examples=50, deadline=None)
@given(rows())
def test_chrome_traces_say_what_was_written(some: list[Row]) -> None:
    document = json.loads(written("chrome", some), parse_constant=no_constant, parse_float=str)
    base = int(document["otherData"]["start_time_ns"])
    found = [event for event in document["traceEvents"] if event["ph"] != "M"]
    for row, event in zip(some, found, strict=True):
        stream, named = STREAMS[row.stream], named_event(row)
        micros, _, nanos = event["ts"].partition(".")
        assert base + int(micros) * 1000 + int(nanos) == row.time
        assert (event["pid"], event["tid"]) == (stream.pid, stream.tid)
        if named is None:
            assert event["ph"] == {"guest_hypertrace": "i"}.get(row.name, event["ph"])
            values = {name: int(value, 16) for name, value in event.get("args", {}).items() if name[0] in "ar"}
            assert values == row.fields
            continue
        phase = CHROME_PHASES[named.phase]
        assert (event["name"], event["ph"]) == (named.name, phase.lower() if named.key else phase)
        for argument, word in arguments(row):
            expected = json_value(argument, word)
            if argument.type is ArgumentType.HEX and named.phase is not Phase.COUNTER:
                expected = f"0x{word:016x}"
            given_value = event["args"][argument.name]
            assert given_value == (repr(expected) if isinstance(expected, float) else expected)
        if named.key is not None:
            key = row.args[1 + [argument.name for argument in named.arguments].index(named.key)]
            assert int(event["id"], 16) == key


def test_chrome_traces_name_each_thread_once() -> None:
    some = [Row(10**18 + number, number % len(STREAMS), 0, 0, (9, 0, 0, 0)) for number in range(10)]
    document = json.loads(written("chrome", some))
    names = {event["tid"]: event["args"]["name"] for event in document["traceEvents"] if event["name"] == "thread_name"}
    assert names == {stream.tid: f"{stream.comm} (vCPU {stream.vcpu})" for stream in STREAMS}
    assert len([event for event in document["traceEvents"] if event["name"] == "thread_name"]) == len(STREAMS)


def test_chrome_keeps_times_before_the_first_event() -> None:
    trace = chrome.ChromeTrace(FACTS)
    trace.head(5 * 10**9 + 1)
    line = trace.format(batch([Row(5 * 10**9 - 1500, 0, 0, 3, ())]), [STREAMS[0]])
    assert b'"ts":-1.500' in line


@pytest.mark.parametrize("name", ["jsonl", "csv", "chrome", "log"])
def test_a_trace_goes_through_a_pipe(name: str) -> None:
    some = [Row(10**18 + number, number % 4, 0, 0, (9, 0, 0, 0)) for number in range(100)]
    read, write = os.pipe()
    sink = by_name(name).open(Path(f"/dev/fd/{write}"), FACTS)
    sink.write(batch(some[:60]), STREAMS)
    sink.write(batch(some[60:]), STREAMS)
    sink.close()
    os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.read() == written(name, some)


def test_traces_of_no_events_are_traces_too() -> None:
    assert json.loads(written("chrome", []))["traceEvents"] == []
    assert written("csv", []).startswith(b"time_ns,pid,")
    assert written("jsonl", []) == b""


@pytest.mark.parametrize("formatter", [jsonl.format_lines, csv_sink.format_lines])
def test_a_reader_that_goes_away_is_a_failure_of_the_sink(formatter: Callable[..., bytes]) -> None:
    read, write = os.pipe()
    os.close(read)
    sink = TextSink(Output(write, "the trace"), lambda events, streams: formatter(events, streams, Shapes(NUM_ARGS)))
    with pytest.raises(SinkError, match="the trace"):
        sink.write(batch([Row(1, 0, 0, 3, ())]), STREAMS)
    sink.close()


@pytest.mark.parametrize("name", ["jsonl", "csv", "chrome", "perfetto", "simple"])
def test_a_full_disk_is_a_failure_of_the_sink(name: str) -> None:
    sink = by_name(name).open(Path("/dev/full"), FACTS)
    with pytest.raises(SinkError, match="/dev/full"):
        sink.write(batch([Row(1, 0, 0, 3, ())]), STREAMS)
    sink.close()
