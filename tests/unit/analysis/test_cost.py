"""The cost of an event, estimated from pairs of known length, and the correction of spans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from htrun.analysis.timing.clock_step import ClockStep
from htrun.analysis.timing.cost import CALIBRATION_LEAST
from htrun.analysis.timing.figures import Timing, Timings
from htrun.analysis.timing.spans import Pairer
from htrun.events.calibration import EMPTY, PAIRS, WORKS, Pair
from htrun.events.named import NamedEvents
from htrun.events.records import event_dtype

JOB = Pair("job", 1, 2)
NAMED = NamedEvents.parse(
    'event = [{id = 1, name = "job", phase = "begin"}, {id = 2, name = "job", phase = "end"}, {id = 3, name = "mark"}]'
)
STEP = ClockStep(1.0, known=True)
MARK = 3
AFTER, ALONE, CHAIN = 34, 38, 50
"""Nanoseconds: an event after work, an event alone, and the work."""


class Scene:
    """Consecutive events of threads."""

    def __init__(self) -> None:
        self._events: list[tuple[int, int, int]] = []
        self._now = 1000

    def pair(self, pair: Pair, length: int, *, thread: int = 0, within: int = 0) -> None:
        """A pair of ``length`` ns with ``within`` other events between."""
        marks = [(self._now + place, thread, MARK) for place in range(1, within + 1)]
        self._events += [(self._now, thread, pair.begin), *marks, (self._now + length, thread, pair.end)]
        self._now += length + 100

    def calibration(
        self, *, thread: int = 0, alone: int = ALONE, after: Sequence[int] = (AFTER,) * len(WORKS), count: int = 50
    ) -> None:
        """Pairs of each kind. The first two are far too long. ``after``: the cost of an event after each kind of work,
        from the first."""
        lengths = [(EMPTY, alone)]
        for work, own in zip(WORKS, after, strict=False):
            lengths += [(work.once, own + CHAIN), (work.twice, own + 2 * CHAIN)]
        for number in range(count):
            for pair, length in lengths:
                self.pair(pair, 90_000 if number < 2 else length, thread=thread)

    def timings(self) -> Timings:
        """The timings of all names."""
        events = np.zeros(len(self._events), event_dtype(1))
        for place, (time, thread, number) in enumerate(self._events):
            events[place] = (time, thread, 0, 0, 0, 0, 0, [number])
        return Timings(STEP).collect(Pairer(NAMED), [events])

    def timing(self) -> Timing:
        """The timing of the only name."""
        (timing,) = self.timings().timings()
        return timing


def test_the_cost_is_between_what_is_measured_alone_and_after_work() -> None:
    scene = Scene()
    scene.calibration()
    for _ in range(9):
        scene.pair(JOB, 136)
    timing = scene.timing()
    cost, corrected = timing.cost, timing.corrected
    assert cost is not None
    assert {name: each.value for name, each in cost.after.items()} == {work.name: AFTER for work in WORKS}
    assert (cost.alone.value, cost.pairs, cost.threads) == (ALONE, 48, 1)
    assert cost.interval.value == (ALONE + AFTER) / 2 == 36
    assert corrected is not None
    assert (timing.raw.median.value, corrected.median.value) == (136, 100)
    # Both figures are within the reported interval, with a margin.
    low, high = corrected.interval or (0, 0)
    assert low < 136 - ALONE < 136 - AFTER < high
    assert (timing.raw.interval, timing.raw.reach) == ((136, 136), 0)


def test_the_interval_reaches_beyond_all_kinds_of_work() -> None:
    """The margin is for unknown kinds of work. It grows with the difference between the known kinds, and is at least a
    fixed share of the cost."""
    scenes = {after: Scene() for after in ((38, 38, 38, 38, 38), (38, 36, 34, 37, 35), (20, 30, 38, 44, 38))}
    reaches = []
    for after, scene in scenes.items():
        scene.calibration(after=after)
        cost = scene.timings().cost
        assert cost is not None
        assert cost.interval.value == (min(after) + max(*after, ALONE)) / 2
        reaches.append(cost.reach)
    assert reaches == pytest.approx([ALONE / 4, ALONE / 4, 2.2 * 12])


def test_a_processor_on_which_two_kinds_agree_and_a_third_does_not() -> None:
    """The figures of an AMD Zen 3: by events alone and after a chain, a loop of 118 ns was reported as 110 to 112."""
    for after in ((40,), (40, 34, 40, 46, 41)):
        scene = Scene()
        scene.calibration(alone=40, after=after)
        for _ in range(9):
            scene.pair(JOB, 118 + 34)
        corrected = scene.timing().corrected
        assert corrected is not None
        low, high = corrected.interval or (0, 0)
        assert low < 118 < high


def test_each_event_within_a_span_costs_as_much_again() -> None:
    scene = Scene()
    scene.calibration()
    scene.pair(JOB, 1000, within=2)
    scene.pair(JOB, 1000, within=2)
    corrected = scene.timing().corrected
    assert corrected is not None
    assert corrected.median.value == 1000 - 3 * 36
    assert corrected.reach == 3 * scene.timing().cost.reach  # type: ignore[union-attr]


def test_what_is_under_the_floor_is_marked() -> None:
    for length, resolved in ((5, False), (50, True)):
        scene = Scene()
        scene.calibration()
        scene.pair(JOB, 36 + length)
        timing = scene.timing()
        assert timing.cost is not None
        assert timing.corrected is not None
        assert 5 < timing.cost.floor(STEP) < 50
        assert timing.corrected.resolved == resolved


def test_the_floor_is_no_less_than_a_step_of_the_clock() -> None:
    scene = Scene()
    scene.calibration()
    cost = scene.timings().cost
    assert cost is not None
    assert cost.floor(ClockStep(100.0, known=True)) == 100


def test_work_whose_length_varies_says_nothing() -> None:
    scene = Scene()
    scene.calibration(after=(AFTER,) * 4)
    for number in range(50):
        scene.pair(WORKS[4].once, AFTER + CHAIN)
        scene.pair(WORKS[4].twice, AFTER + CHAIN * (2 if number % 2 else 9))
    cost = scene.timings().cost
    assert cost is not None
    assert list(cost.after) == [work.name for work in WORKS[:4]]


def test_an_older_guest_library_knows_one_kind_of_work() -> None:
    scene = Scene()
    scene.calibration(alone=50, after=(30,))
    cost = scene.timings().cost
    assert cost is not None
    assert (cost.interval.value, cost.reach, list(cost.after)) == (40, 30, [WORKS[0].name])


def test_the_oldest_guest_library_tells_the_cost_alone_and_nothing_of_its_reach() -> None:
    scene = Scene()
    for _ in range(50):
        scene.pair(EMPTY, 10)
    cost = scene.timings().cost
    assert cost is not None
    assert (cost.interval.value, cost.after, cost.reach) == (10, {}, 10)


@pytest.mark.parametrize("sort", PAIRS, ids=lambda pair: pair.name)
def test_too_few_pairs_are_none(sort: Pair) -> None:
    scene = Scene()
    # The first two of each kind are not counted, and neither are pairs with an event between.
    for pair in PAIRS:
        for _ in range(CALIBRATION_LEAST + (1 if pair is sort else 2)):
            scene.pair(pair, 40)
    for _ in range(50):
        scene.pair(sort, 40, within=1)
    cost = scene.timings().cost
    if sort is EMPTY:
        assert cost is None
    else:
        assert cost is not None
        assert list(cost.after) == [work.name for work in WORKS if sort not in (work.once, work.twice)]


def test_a_thread_without_pairs_takes_those_of_all_others() -> None:
    scene = Scene()
    scene.calibration(thread=0, alone=38, after=(34,))
    scene.calibration(thread=1, alone=58, after=(54,))
    for thread in (0, 1, 2):
        scene.pair(JOB, 200, thread=thread)
    timings = scene.timings()
    costs = [timings.cost_of(thread) for thread in (0, 1, 2)]
    assert [None if cost is None else cost.threads for cost in costs] == [1, 1, 2]
    values = [0.0 if cost is None else cost.interval.value for cost in costs]
    assert values[:2] == [36, 56]
    assert 36 < values[2] < 56
