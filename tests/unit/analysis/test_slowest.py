"""The slowest spans and the overlapping spans are the same as those that are computed from all spans in memory."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest

import htrun
from htrun.analysis import slowest as slowest_module
from htrun.analysis.anatomy import MOST_PARTS, anatomy_of
from htrun.analysis.slowest import find_slowest
from htrun.analysis.timing import spans as spans_module
from htrun.analysis.timing.query import SpanQuery
from htrun.analysis.trace import DamagedTraceWarning
from htrun.analysis.window_query import WindowQuery
from htrun.errors import HtrunError
from htrun.events.records import record_dtype
from htrun.events.stream import Stream
from htrun.events.window import EVERYTHING, Window
from htrun.rings.layout import PACKET_HEADER
from tests.support.server_trace import SLOWEST, trace_of_server
from tests.support.spans import BEGIN, trace_of_requests
from tests.unit.analysis.made import FACTS, Made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from htrun.analysis.slowest import Slowest
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events

MARKS = """
event = [
    {id = 1, name = "outer", phase = "begin"}, {id = 2, name = "outer", phase = "end"},
    {id = 3, name = "inner", phase = "begin"}, {id = 4, name = "inner", phase = "end"},
]
"""

EVERY = SpanQuery()


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trace_of_requests(tmp_path_factory.mktemp("slowest") / "trace", 8_000)


def found(trace: Trace, query: SpanQuery = EVERY, most: int = 5, size: int = 1 << 16) -> Slowest:
    """The slowest of ``query``."""
    return find_slowest(trace, trace.events(size=size), query, most)


def marked(path: Path, threads: dict[int, list[tuple[int, int]]]) -> Trace:
    """A trace of `MARKS`: for each thread, times and ``arg1``."""
    made = Made(path, 1, {**FACTS, "named_events": MARKS})
    for tid, events in threads.items():
        times = [BEGIN + time for time, _ in events]
        made.packet(Stream(tid, 1, tid, f"t{tid}"), times, [[mark] for _, mark in events])
    return htrun.open(made.close())


@pytest.mark.parametrize("size", [64, 1000, 1 << 16])
@pytest.mark.parametrize("room", [1 << 18, 40])
@pytest.mark.parametrize("pattern", ["request", "par*", "*"])
def test_the_longest_and_all_that_overlap(
    requests: Path, size: int, room: int, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With little room, most checkpoints are dropped.
    monkeypatch.setattr(slowest_module, "_MOST_BEGINS", room)
    trace = htrun.open(requests)
    spans = trace.spans()
    rows = spans.to_numpy()
    names = np.array(spans.names)[rows["name"]]
    own = rows[(names == pattern) | (pattern == "*") | ((pattern == "par*") & (names == "parse"))]
    expected = own[np.lexsort((own["id"], -own["duration"].astype(np.int64)))][:5]
    result = found(trace, SpanQuery((pattern,)), 5, size)
    assert result.count == len(own)
    assert [int(slow.span["begin_number"]) for slow in result.spans] == expected["id"].tolist()
    for slow, row in zip(result.spans, expected, strict=True):
        assert (slow.span["begin_args"] == row["begin_args"]).all()
        assert (slow.span["end_args"] == row["end_args"]).all()
        assert slow.span["trapped"] == row["trapped"]
        overlaps = (rows["begin"] < row["end"]) & (rows["end"] > row["begin"]) & (rows["id"] != row["id"])
        assert slow.meanwhile["begin_number"].tolist() == rows["id"][overlaps].tolist()
        ended = slow.meanwhile["end_number"] > 0
        assert slow.meanwhile["end_number"][ended].tolist() == rows["end_id"][overlaps][ended].tolist()
        assert (rows["end_id"][overlaps][~ended] > row["end_id"]).all()


@pytest.mark.parametrize("seed", range(10))
def test_events_at_the_same_time_keep_their_numbers_in_every_part(tmp_path: Path, seed: int) -> None:
    """Three threads, whose events have few different times. Batches begin between events of the same time."""
    random = Random(seed)
    made = Made(tmp_path / "trace", 2, {**FACTS, "named_events": MARKS})
    for packet in range(40):
        for tid in range(3):
            times = sorted(BEGIN + packet * 12 + random.randrange(12) for _ in range(20))
            marks = [[random.choice((1, 2, 3, 4)), random.getrandbits(32)] for _ in times]
            made.packet(Stream(tid + 1, 1, tid, f"t{tid}"), times, marks)
    trace = htrun.open(made.close())
    rows = {row["id"]: row for row in trace.spans().to_numpy()}
    for size in (7, 20, 100, 1 << 16):
        for slow in found(trace, most=2, size=size).spans:
            row = rows[slow.span["begin_number"]]
            assert slow.span["end_number"] == row["end_id"]
            assert (slow.span["begin_args"].tolist(), slow.span["end_args"].tolist()) == (
                row["begin_args"].tolist(),
                row["end_args"].tolist(),
            )


def test_only_the_parts_with_slow_spans_are_read_again(requests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, again = htrun.open(requests), 0
    batches, read = trace.events(size=100), trace.events

    def events(window: Window = EVERYTHING) -> Iterator[Events]:
        nonlocal again
        for batch in read(window):
            again += len(batch)
            yield batch

    monkeypatch.setattr(trace, "events", events)
    [slow] = find_slowest(trace, batches, EVERY, 1).spans
    assert again < 200 + int(slow.span["end_number"] - slow.span["begin_number"])


def test_a_damaged_trace_is_read_from_its_begin(tmp_path: Path) -> None:
    """If only a later part were read, the damage of a thread would not be noticed, and the events after it would be
    read."""
    made = Made(tmp_path / "trace", 2, {**FACTS, "named_events": MARKS})
    for packet in range(20):
        for tid in (1, 2):
            times = [BEGIN + packet * 1000 + (20 + packet) * number + tid for number in range(20)]
            marks = [[1 + number % 2, 10 * packet + number] for number in range(20)]
            made.packet(Stream(tid, 1, tid, f"t{tid}"), times, marks)
    [stream] = made.close().glob("stream-*-1")
    data = bytearray(stream.read_bytes())
    position = data.index(data[:4], 4) + PACKET_HEADER + 5 * record_dtype(2, big_endian=False).itemsize
    data[position : position + 8] = bytes(8)
    stream.write_bytes(data)
    trace = htrun.open(made.path)
    with pytest.warns(DamagedTraceWarning, match="the times are not in order"):
        rows = {row["id"]: row for row in trace.spans().to_numpy()}
    # The last spans are the longest.
    with pytest.warns(DamagedTraceWarning, match="the times are not in order"):
        slow = found(trace, most=10, size=64).spans
    for each in slow:
        assert each.span["begin_args"].tolist() == rows[each.span["begin_number"]]["begin_args"].tolist()


def test_medians_are_within_three_percent(requests: Path) -> None:
    trace = htrun.open(requests)
    spans = trace.spans()
    rows = spans.to_numpy()
    result = found(trace)
    for place, name in enumerate(spans.names):
        median = np.median(rows["duration"][rows["name"] == place])
        assert result.medians[place] == pytest.approx(median, rel=0.032), name


def test_the_holder_of_a_lock(tmp_path: Path) -> None:
    trace = htrun.open(trace_of_server(tmp_path / "trace"))
    result = found(trace, SpanQuery(("request",)), 1)
    [slow] = result.spans
    assert slow.span["begin_args"][1] == SLOWEST
    anatomy = anatomy_of(slow, result.keyed)
    assert [result.names[part.span["name"]] for part in anatomy.parts] == ["work", "lock_wait", "update"]
    assert {trace.streams[part.span["begin_stream"]].comm for part in anatomy.parts} == {"worker"}
    [piece] = anatomy.pieces
    assert result.names[piece.owner["name"]] == "lock_wait"
    holder = piece.overlaps[0]
    assert result.names[holder.span["name"]] == "checkpoint"
    assert trace.streams[holder.span["begin_stream"]].comm == "checkpointer"
    assert holder.overlap > 0.95 * piece.duration
    assert holder.ended_before == piece.end - int(holder.span["end"])


def test_spans_that_go_on_and_pieces_between_spans(tmp_path: Path) -> None:
    threads = {
        1: [(0, 1), (10, 3), (30, 4), (80, 3), (90, 4), (100, 2)],
        2: [(5, 3), (40, 1), (60, 2)],
        3: [(50, 1), (1000, 2)],
    }
    trace = marked(tmp_path / "trace", threads)
    result = found(trace, SpanQuery(threads_of(1)[0], window=threads_of(1)[1]), 1)
    [slow] = result.spans
    assert (int(slow.span["begin"]) - BEGIN, int(slow.span["end"]) - BEGIN) == (0, 100)
    anatomy = anatomy_of(slow, result.keyed)
    assert [(int(part.span["begin"]) - BEGIN, part.level) for part in anatomy.parts] == [(10, 1), (80, 1)]
    pieces = [(piece.begin - BEGIN, piece.end - BEGIN, result.names[piece.owner["name"]]) for piece in anatomy.pieces]
    assert pieces == [(30, 80, "outer"), (10, 30, "inner"), (0, 10, "outer")]
    # An inner span of thread 2 never ends. Other spans called outer wait for the same lock as this outer span, and are
    # left out.
    described = [
        [(result.names[each.span["name"]], each.count, each.overlap, each.ended_before) for each in piece.overlaps]
        for piece in anatomy.pieces
    ]
    assert described == [[("inner", 1, 50, None)], [], [("inner", 1, 5, None)]]


def threads_of(tid: int) -> tuple[tuple[str, ...], WindowQuery]:
    """Spans called outer of the thread ``tid``."""
    return ("outer",), WindowQuery(threads=(str(tid),))


def test_many_parts_are_cut(tmp_path: Path) -> None:
    children = [(10 * number + offset, mark) for number in range(1, 31) for offset, mark in ((0, 3), (5, 4))]
    trace = marked(tmp_path / "trace", {1: [(0, 1), *children, (400, 2)]})
    result = found(trace, SpanQuery(("outer",)))
    anatomy = anatomy_of(result.spans[0], result.keyed)
    assert (len(anatomy.parts), anatomy.hidden) == (MOST_PARTS, 30 - MOST_PARTS)
    assert [piece.duration for piece in anatomy.pieces] == [95]


def test_only_the_longest_of_very_many_overlaps_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowest_module, "_MOST_KEPT", 10)
    children = [(10 * number + offset, mark) for number in range(1, 31) for offset, mark in ((0, 3), (5, 4))]
    trace = marked(tmp_path / "trace", {1: [(0, 1), *children, (400, 2)]})
    [slow] = found(trace, SpanQuery(("outer",)), size=8).spans
    assert len(slow.meanwhile) + slow.dropped == 30


def test_names_of_no_span(requests: Path) -> None:
    with pytest.raises(HtrunError, match="has no spans called 'nothing'"):
        found(htrun.open(requests), SpanQuery(("nothing",)))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("room", [1 << 20, 6])
def test_spans_that_cross_or_have_no_partner(
    tmp_path: Path, seed: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random spans with losses, also with so many waiting begins that the oldest are dropped."""
    monkeypatch.setattr(spans_module, "MOST_OPEN", room)
    random = Random(seed)
    made = Made(tmp_path / "trace", 1, {**FACTS, "named_events": MARKS})
    time, lost = BEGIN, [0, 0, 0]
    for _ in range(12):
        for tid in range(3):
            times = [time := time + random.randint(1, 40) for _ in range(random.randint(1, 20))]
            lost[tid] += random.random() < 0.1
            marks = [[random.choices((1, 2, 3, 4), (5, 4, 5, 4))[0]] for _ in times]
            made.packet(Stream(tid + 1, 1, tid, f"t{tid}"), times, marks, discarded=lost[tid])
    trace = htrun.open(made.close())
    size = random.choice((7, 20, 100))
    result = found(trace, most=20, size=size)
    assert len({int(slow.span["begin_number"]) for slow in result.spans}) == len(result.spans) == min(20, result.count)
    durations = [int(slow.span["end"]) - int(slow.span["begin"]) for slow in result.spans]
    assert durations == sorted(durations, reverse=True)
    if room > 100:
        rows = trace.spans().to_numpy()
        assert durations == sorted(rows["duration"].tolist(), reverse=True)[: len(durations)]
    for slow in result.spans:
        anatomy = anatomy_of(slow, result.keyed)
        for piece in anatomy.pieces:
            assert int(slow.span["begin"]) <= piece.begin < piece.end <= int(slow.span["end"])
            for each in piece.overlaps:
                alike = slow.meanwhile[
                    (slow.meanwhile["begin_stream"] == each.span["begin_stream"])
                    & (slow.meanwhile["name"] == each.span["name"])
                ]
                covered = {
                    moment
                    for begin, end in alike[["begin", "end"]].tolist()
                    for moment in range(max(begin, piece.begin), min(end, piece.end))
                }
                assert each.overlap == len(covered) > 0
