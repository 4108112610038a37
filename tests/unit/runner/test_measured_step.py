"""The smallest step of a clock is found, even if it is not a whole number of ticks."""

from __future__ import annotations

import random
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.events.clock import MonotonicSource
from htrun.runner.measured_step import measured_step, step_of

READINGS = 500


def readings_of(step: float, seed: int, interruptions: int = 0) -> list[int]:
    """Readings of a counter that advances by ``step`` ticks. Most readings are 15 to 25 steps apart."""
    chance = random.Random(seed)
    gaps = [chance.randint(15, 25) for _ in range(READINGS)]
    for place in chance.sample(range(READINGS), interruptions):
        gaps[place] = chance.randint(1_000, 1_000_000)
    count, readings = chance.randint(0, 1 << 40), []
    for gap in gaps:
        count += gap
        readings.append(floor(count * step))
    return readings


@given(step=st.floats(8.0, 200.0), seed=st.integers(0, 1 << 32), interruptions=st.integers(0, 5))
def test_any_step(step: float, seed: int, interruptions: int) -> None:
    assert step_of(readings_of(step, seed, interruptions)) == pytest.approx(step, rel=1e-4)


@pytest.mark.parametrize("step", [1, 2, 3, 26, 100])
def test_a_whole_number(step: int) -> None:
    assert step_of(readings_of(step, 1, interruptions=3)) == step


def test_a_fine_clock_that_is_read_at_few_distances() -> None:
    """The distances of readings are no proof of a step."""
    chance, time, readings = random.Random(1), 0, []
    for _ in range(READINGS):
        time += chance.choice([367, 392, 416, 439, 470])
        readings.append(time)
    assert step_of(readings) == 1


@pytest.mark.parametrize("readings", [[5], [5, 5, 5], [5, 31]])
def test_too_few_readings(readings: list[int]) -> None:
    assert step_of(readings) >= 1


def test_a_series_of_readings_on_two_processors_does_not_count() -> None:
    """The counters of two processors may differ by part of a step."""
    first, second = readings_of(24.5, 1), readings_of(24.5, 2)
    half = READINGS // 2
    apart = first[half] - second[half] + 11
    moved = first[:half] + [reading + apart for reading in second[half:]]
    series = iter([*moved, *first])

    class Source(MonotonicSource):
        def read(self) -> int:
            return next(series)

    assert step_of(moved) == 1
    assert measured_step(Source()) == pytest.approx(24.5, rel=1e-4)
