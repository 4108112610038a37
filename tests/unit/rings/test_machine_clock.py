"""The true time of every event is within the reported bounds, for any offset, rate and delay."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from htrun.rings.client_ring import Answer
from htrun.rings.exchange import Exchange
from htrun.rings.machine_clock import ANY_RATE, Rates

START = 10**15
"""htrun's ticks at the start. 1e9 ticks are a second."""
EXACT = Rates(1.0, 1.0)
CLOCK, RING = 0, 3
NEAR_ONE = (EXACT, Rates(0.98, 1.02), ANY_RATE)


@dataclass
class World:
    """A machine whose clock shows ``offset`` + ``rate`` * (htrun's ticks - `START`), and htrun's clock."""

    offset: int
    rate: float = 1.0
    rates: tuple[Rates, ...] = NEAR_ONE
    now: int = START
    number: int = 0
    answer: Answer = field(default_factory=lambda: Answer(0, 0))
    jumps: list[int] = field(default_factory=list)
    exchange: Exchange = field(init=False)

    def __post_init__(self) -> None:
        self.exchange = Exchange(self.read, self.write, lambda _: self.rates, pause=0, jumped=self.jumps.append)
        self.exchange.begin(RING, CLOCK)

    def read(self) -> int:
        return self.now

    def write(self, number: int) -> None:
        self.number = number

    def stamp(self, ticks: int | None = None) -> int:
        return self.offset + round(self.rate * ((self.now if ticks is None else ticks) - START))

    def events(self, gaps: list[int]) -> list[int]:
        """htrun's true ticks at events with ``gaps`` before them. The first event answers a new number."""
        times = []
        for gap in gaps:
            self.now += gap
            if self.number != self.answer.number:
                self.answer = Answer(self.number, self.stamp())
            times.append(self.now)
        return times

    def convert(self, times: list[int]) -> tuple[list[int], float]:
        """The times that htrun computes for these events, and the reported error."""
        self.exchange.heard(RING, CLOCK, self.answer)
        stamps = np.array([self.stamp(time) for time in times], np.uint64)
        ticks = self.exchange.ticks(RING, stamps).tolist()
        account = self.exchange.account
        assert account is not None
        return ticks, account.last_error


gaps = st.lists(st.integers(1, 10**7), min_size=1, max_size=5)
rounds = st.lists(st.tuples(st.integers(0, 10**6), gaps, st.integers(0, 10**8)), min_size=1, max_size=30)
offsets = st.integers(10**12, 1 << 62)


known = st.sampled_from(
    [
        (1.0, NEAR_ONE),
        (1.0, (ANY_RATE,)),
        (1.0001, (Rates(0.98, 1.02), ANY_RATE)),
        (0.99, (Rates(0.98, 1.02), ANY_RATE)),
        (2.4, (ANY_RATE,)),
        (0.37, (ANY_RATE,)),
    ]
)
"""Rates, and the known facts about them."""


@given(offsets, known, rounds)
@settings(max_examples=300)
def test_the_true_time_is_within_the_bounds(
    offset: int, known: tuple[float, tuple[Rates, ...]], rounds: list[tuple[int, list[int], int]]
) -> None:
    world, latest = World(offset, *known), 0
    for before, gaps, after in rounds:
        world.now += before
        times = world.events(gaps)
        world.now += after
        ticks, error = world.convert(times)
        for true, told in zip(times, ticks, strict=True):
            assert abs(true - told) <= error + 3
        assert ticks == sorted(ticks)
        assert ticks[0] >= latest
        latest = ticks[-1]
        world.exchange.ask()
    assert world.jumps == []


@given(offsets, st.integers(100, 10**4), st.integers(1, 60))
def test_many_events_make_narrow_bounds(offset: int, delay: int, count: int) -> None:
    """If an event follows the number, and htrun reads the event, within ``delay``, the bounds are at most as wide as
    ``delay``."""
    world = World(offset, 1.0)
    error = 0.0
    for _ in range(count):
        times = world.events([delay])
        world.now += delay
        _, error = world.convert(times)
        world.now += 10**7
        world.exchange.ask()
    assert error <= 2 * delay + 128


@given(offsets, st.one_of(st.integers(10**9, 10**13), st.integers(-(10**11), -(10**9))), rounds)
def test_jumps_are_found(offset: int, jump: int, rounds: list[tuple[int, list[int], int]]) -> None:
    """A machine that was suspended, restored or reset: its clock continues at another value."""
    world = World(offset, 1.0)
    for _ in range(20):
        times = world.events([1000])
        world.now += 1000
        world.convert(times)
        world.now += 10**7
        world.exchange.ask()
    world.offset += jump
    for before, gaps, after in rounds:
        world.now += before
        times = world.events(gaps)
        world.now += after
        ticks, error = world.convert(times)
        assert all(abs(true - told) <= error + 3 for true, told in zip(times, ticks, strict=True))
        world.exchange.ask()
    [found] = world.jumps
    assert abs(found + jump) <= 2 * 10**8


@given(offsets, st.sampled_from([1.5, 0.7, 1.001]))
def test_a_wrong_rate_is_corrected(offset: int, rate: float) -> None:
    """A machine whose counter does not have the assumed rate of the host's counter. There is no jump, and the bounds
    are correct as soon as this is detected."""
    world = World(offset, rate)
    for number in range(20):
        times = world.events([10**4, 10**5])
        world.now += 10**4
        ticks, error = world.convert(times)
        if number > 3:
            assert all(abs(true - told) <= error + 3 for true, told in zip(times, ticks, strict=True))
        world.now += 10**8
        world.exchange.ask()
    assert world.jumps == []


def test_events_without_an_answer_bear_the_time_of_their_reading() -> None:
    world = World(1 << 40, 1.0)
    world.now += 500
    assert world.exchange.ticks(RING, np.array([1, 2], np.uint64)).tolist() == [world.now] * 2
    assert world.exchange.account is None


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=20), st.integers(0, (1 << 64) - 1))
def test_made_up_stamps_are_within_the_run(stamps: list[int], answered: int) -> None:
    world = World(1 << 40, 1.0)
    world.now += 10**6
    world.exchange.heard(RING, CLOCK, Answer(world.number, answered))
    ticks = world.exchange.ticks(RING, np.array(stamps, np.uint64)).tolist()
    assert all(START <= one <= world.now for one in ticks)
    assert ticks[-1] <= world.now
