"""Filters select events of a trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import htrun
from htrun.analysis.expressions import Expression
from htrun.analysis.filters import Filter, field_names
from htrun.analysis.trace import Trace
from htrun.analysis.window_query import WindowQuery
from htrun.errors import HtrunError
from htrun.events.named import NamedEvents
from htrun.events.stream import Stream
from htrun.events.window import Window
from tests.unit.analysis.made import Made

NAMES = """\
[[event]]
id = 1
name = "io"
args = ["size:i64", "kind:enum:READ=0,WRITE=1"]
[[event]]
id = 2
name = "level"
phase = "counter"
args = ["ratio:f64"]
"""


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    made = Made(tmp_path / "t", num_args=3)
    made.packet(
        Stream(10, 10, 0, "main"), [100, 1_000_000_100], [[1, 2**64 - 5, 1], [2, 0x3FE0000000000000, 0]], site=4
    )
    made.packet(Stream(11, 10, 1, "worker-1"), [200], [[3, 8, 7]], index=5)
    made.packet(Stream(21, 20, 0, "main"), [300], [[1, 4096, 0]])
    return htrun.open(made.close(), NamedEvents.parse(NAMES))


def times(trace: Trace, wanted: Filter) -> list[int]:
    return [time for events in wanted.batches(trace) for time in events["time"].tolist()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size < 0", [100]),
        ("size == 4096", [300]),
        ("kind == 'WRITE'", [100]),
        ("ratio == 0.5", [1_000_000_100]),
        ("arg1 == 1", [100, 300]),
        ("arg2 == 8", [200]),
        ("arg2 == 4096", [300]),
        ("name == 'io'", [100, 300]),
        ("name != 'io'", [1_000_000_100]),
        ("phase == 'counter'", [1_000_000_100]),
        ("event == 'guest_hypertrace'", [100, 200, 300, 1_000_000_100]),
        ("comm == 'main' and pid == 20", [300]),
        ("tid in (10, 11) and vcpu == 1", [200]),
        ("index == 5", [200]),
        ("site == 4", [100, 1_000_000_100]),
        ("time >= 1", [1_000_000_100]),
        ("time_ns == 200", [200]),
        ("num == 5", []),
    ],
)
def test_conditions(trace: Trace, text: str, expected: list[int]) -> None:
    assert times(trace, Filter(where=Expression.parse(text, field_names(trace)))) == expected


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("io",), [100, 300]),
        (("l*", "io"), [100, 300, 1_000_000_100]),
        (("guest_hyper*",), [100, 200, 300, 1_000_000_100]),
        (("IO",), []),
    ],
)
def test_names(trace: Trace, patterns: tuple[str, ...], expected: list[int]) -> None:
    assert times(trace, Filter(events=patterns)) == expected


def test_all_at_once(trace: Trace) -> None:
    where = Expression.parse("arg1 == 1", field_names(trace))
    assert times(trace, Filter(Window(150, 400), ("io",), where)) == [300]
    assert times(trace, Filter()) == [100, 200, 300, 1_000_000_100]


def test_threads_by_id_and_name(trace: Trace) -> None:
    assert WindowQuery().window(trace) == Window()
    assert WindowQuery(threads=("11",)).window(trace).streams == frozenset({1})
    assert WindowQuery(threads=("main",)).window(trace).streams == frozenset({0, 2})
    assert WindowQuery(threads=("work*",), processes=(20,)).window(trace).streams == frozenset({1, 2})
    for query in (WindowQuery(threads=("nobody",)), WindowQuery(processes=(99,))):
        with pytest.raises(HtrunError, match="hypertrace info lists them"):
            query.window(trace)


def test_times_count_from_the_first_event_or_are_absolute(trace: Trace) -> None:
    assert WindowQuery("100ns", "1us").window(trace) == Window(200, 1100)
    assert WindowQuery(begin="@2.5").window(trace) == Window(2_500_000_000)
    with pytest.raises(HtrunError, match="'soon' is not a time"):
        WindowQuery("soon").window(trace)


def test_named_fields_are_known_and_others_are_not(trace: Trace) -> None:
    assert {"size", "kind", "ratio", "arg3", "comm", "time"} <= field_names(trace)
    assert "arg99" not in field_names(trace)


def test_a_batch_keeps_all_fields_of_its_events(trace: Trace) -> None:
    [events] = Filter(where=Expression.parse("arg1 == 3", field_names(trace))).batches(trace)
    [expected] = [event for event in trace.to_numpy() if event["time"] == 200]
    np.testing.assert_array_equal(events, np.array([expected]))
