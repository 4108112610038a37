"""The content of a page."""

from __future__ import annotations

import zlib
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from htrun.analysis.filters import Filter
from htrun.analysis.trace import Trace
from htrun.errors import HtrunError
from htrun.events.calibration import PAIRS
from htrun.events.stream import Stream
from htrun.events.window import Window
from htrun.view.content import Content, choose, choose_around, content_of
from htrun.view.figures import LiveFigures
from tests.support.spans import BEGIN, NAMES
from tests.unit.analysis.made import FACTS, Made


def content(trace: Trace, most: int = 100) -> Content:
    return content_of(trace, choose(trace.events(), trace.shapes, trace.num_args, most))


def numbers(content: Content, column: dict[str, Any]) -> list[int]:
    """The column as the page decodes it."""
    data = zlib.decompress(b64decode(content.sections[column["section"]]))
    start, count, values = column["start"], column["count"], np.zeros(column["count"], np.uint64)
    for place, plane in enumerate(column["planes"]):
        if plane is None:
            stored = np.frombuffer(data[start : start + count], np.uint8)
            start += count
        else:
            stored = np.full(count, plane, np.uint8)
        values += stored.astype(np.uint64) << np.uint64(8 * place)
    found: list[int] = (np.cumsum(values, dtype=np.uint64) if column["rising"] else values).tolist()
    return found


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    made = Made(tmp_path / "t", 3, {**FACTS, "named_events": NAMES})
    times = [BEGIN + after for after in (0, 10, 20, 30, 40, 50, 60)]
    args = [[1, 5, 1], [3, 0, 0], [4, 0, 0], [5, 99, 0], [6, 2**64 - 1, 0], [2, 2**64 - 5, 0], [3, 0, 0]]
    made.packet(Stream(10, 10, 0, "main"), times, args, discarded=0)
    made.packet(Stream(11, 10, 1, "other"), [BEGIN + 25, BEGIN + 35], [[77, 1, 2], [4, 0, 0]], index=6, site=9)
    return Trace.open(made.close())


def test_events_spans_and_what_has_no_partner(trace: Trace) -> None:
    made = content(trace)
    head = made.head
    assert (head["begin"], head["length"]) == (str(BEGIN), 60)
    assert numbers(made, head["events"]["time"]) == [0, 10, 20, 25, 30, 35, 40, 50, 60]
    assert numbers(made, head["events"]["thread"]) == [0, 0, 0, 1, 0, 1, 0, 0, 0]
    assert numbers(made, head["events"]["site"]) == [0, 0, 0, 9, 0, 9, 0, 0, 0]
    kinds = [head["kinds"][place]["name"] for place in numbers(made, head["events"]["kind"])]
    assert kinds == ["request", "parse", "parse", "guest_hypertrace", "miss", "parse", "queue", "request", "parse"]
    spans = {each["name"]: list(zip(numbers(made, each["begin"]), numbers(made, each["end"]), strict=True)) for each in
             head["spans"]}  # fmt: skip
    assert spans == {"request": [(0, 7)], "parse": [(1, 2)]}
    [left] = head["unpaired"]
    assert (left["name"], left["begins"], left["ends"]) == ("parse", 1, 1)


def test_spans_in_which_an_event_trapped(tmp_path: Path) -> None:
    made = Made(tmp_path / "t", 3, {**FACTS, "named_events": NAMES})
    times = [BEGIN + after for after in (0, 10, 20, 30)]
    made.packet(Stream(10, 10, 0, "main"), times, [[1, 5, 1], [2, 0, 0], [1, 6, 1], [2, 0, 0]], site=1)
    made.packet(Stream(11, 10, 1, "ring"), [BEGIN + 40, BEGIN + 50], [[1, 7, 1], [2, 0, 0]])
    made.packet(Stream(12, 10, 2, "late"), [BEGIN + 60, BEGIN + 70], [[1, 8, 1], [2, 0, 0]], site=1)
    trace = Trace.open(made.close())

    def trapped(window: Window) -> list[int]:
        wanted = Filter(window=window)
        shown = content_of(trace, choose(wanted.batches(trace), trace.shapes, trace.num_args))
        return numbers(shown, shown.head["spans"][0]["trapped"])

    assert trapped(Window()) == [1, 0, 0, 1]
    # The first event of a site is the first in the whole trace, not in the selected part.
    assert trapped(Window(begin=BEGIN + 15)) == [0, 0, 1]


def test_fields_have_their_types_and_words(trace: Trace) -> None:
    made = content(trace)
    fields = {
        (kind["name"], kind["phase"], field["name"]): (field["type"], numbers(made, field["column"]))
        for kind in made.head["kinds"]
        for field in kind["fields"]
    }
    assert fields["request", "begin", "number"] == ("u64", [5])
    assert fields["request", "begin", "kind"] == ("enum", [1])
    assert fields["request", "end", "result"] == ("i64", [2**64 - 5])
    assert fields["miss", "instant", "address"] == ("hex", [99])
    assert fields["queue", "counter", "depth"] == ("i64", [2**64 - 1])
    assert fields["guest_hypertrace", "instant", "index"] == ("u64", [6])
    assert fields["guest_hypertrace", "instant", "arg3"] == ("hex", [2])
    [labels] = [field["labels"] for kind in made.head["kinds"] for field in kind["fields"] if "labels" in field]
    assert labels == {"0": "READ", "1": "WRITE"}


def test_only_what_is_drawn_at_once_is_in_the_first_section(trace: Trace) -> None:
    head = content(trace).head
    sections = {(kind["phase"], field["column"]["section"] == 0) for kind in head["kinds"] for field in kind["fields"]}
    assert sections == {("begin", False), ("end", False), ("instant", False), ("counter", True)}
    assert head["events"]["site"]["section"] != 0


def test_too_many_events_are_refused(trace: Trace) -> None:
    assert content(trace, most=9).head["length"] == 60
    with pytest.raises(HtrunError, match=r"more than 8 events, too many for a page; choose some with --from"):
        content(trace, most=8)


def test_a_trace_without_events(tmp_path: Path) -> None:
    head = content(Trace.open(Made(tmp_path / "t").close())).head
    assert (head["length"], head["kinds"], head["spans"], head["threads"]) == (0, [], [], [])


def test_no_span_goes_across_a_loss(tmp_path: Path) -> None:
    made = Made(tmp_path / "t", 3, {**FACTS, "named_events": NAMES})
    made.packet(Stream(10, 10, 0, "main"), [BEGIN, BEGIN + 10, BEGIN + 20], [[3, 0, 0], [4, 0, 0], [3, 0, 0]])
    made.packet(Stream(10, 10, 0, "main"), [BEGIN + 90], [[4, 0, 0]], discarded=5)
    trace = Trace.open(made.close())
    head = content(trace).head
    (parse,) = head["spans"]
    assert parse["begin"]["count"] == 1
    assert head["unpaired"] == [{"name": "parse", "begins": 0, "ends": 0, "negative": 0, "lost": 2}]


def test_calibration_makes_no_spans_that_are_shown(tmp_path: Path) -> None:
    made = Made(tmp_path / "t", 1)
    args = [[number] for pair in PAIRS for number in (pair.begin, pair.end)]
    made.packet(Stream(10, 10, 0, "main"), [BEGIN + each for each in range(len(args))], args)
    trace = Trace.open(made.close())
    assert content(trace).head["spans"] == []
    figures = LiveFigures(trace.shapes, trace.names)
    for events in trace.events():
        figures.add(events[:-1])
    assert (figures.events, figures.spans, figures.open) == (len(args) - 1, {}, 0)


@pytest.mark.parametrize(("most", "ids"), [(100, range(1, 10)), (9, range(1, 10)), (4, (4, 5, 6)), (2, (5,))])
def test_events_around_one(trace: Trace, most: int, ids: Sequence[int]) -> None:
    chosen, at = choose_around(trace, Filter(), 5, most)
    whole = trace.to_numpy()
    assert (chosen.events == whole[np.array(ids) - 1]).all()
    assert (chosen.events[at : at + 1] == whole[4:5]).all()
    assert content_of(trace, chosen, at).head["at"] == at
    assert content(trace).head["at"] is None


def test_events_around_one_that_is_not_there(trace: Trace) -> None:
    of_other = Filter(Window(streams=frozenset({1})))
    chosen, at = choose_around(trace, of_other, 6)
    assert (len(chosen.events), at) == (2, 1)
    for wanted, number in ((of_other, 5), (Filter(), 10)):
        with pytest.raises(HtrunError, match=f"has no event #{number} in the selection"):
            choose_around(trace, wanted, number)
