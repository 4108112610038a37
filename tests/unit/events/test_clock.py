"""Time stamps compared with the system's clocks; time never goes backwards."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.events.clock import Clock, ClockSource, Fit, MonotonicSource, Sample
from htrun.hosts.x86_64.counter import TscSource, best_clock

TOLERANCE = 2_000
"""A time in nanoseconds that is much longer than sampling, even if another process uses the processor in between."""


class SteppedSource:
    """A clock whose ticks and time are set by the test. Samples are exact."""

    name = "stepped"

    def __init__(self, ticks: int, nanoseconds: int) -> None:
        self.ticks = ticks
        self.nanoseconds = nanoseconds

    def read(self) -> int:
        return self.ticks

    def sample(self, clock_id: int) -> Sample:
        wall = 1_700_000_000_000_000_000 if clock_id == time.CLOCK_REALTIME else 0
        return Sample(self.ticks, self.nanoseconds + wall, self.ticks)


def tight_sample(source: ClockSource, clock_id: int) -> Sample:
    return min((source.sample(clock_id) for _ in range(50)), key=lambda sample: sample.window)


@pytest.fixture(params=[TscSource, MonotonicSource])
def clock(request: pytest.FixtureRequest) -> Clock:
    return Clock(request.param())


def test_a_tick_is_the_wall_clock_time_at_which_it_was_read(clock: Clock) -> None:
    for _ in range(5):
        sample = tight_sample(clock.source, time.CLOCK_REALTIME)
        told = clock.to_realtime_ns(np.array([sample.middle], np.uint64))
        assert abs(int(told[0]) - sample.nanoseconds) < TOLERANCE


def test_a_tick_is_the_monotonic_time_at_which_it_was_read(clock: Clock) -> None:
    sample = tight_sample(clock.source, time.CLOCK_MONOTONIC)
    told = clock.to_monotonic_ns(np.array([sample.middle], np.uint64))
    assert abs(int(told[0]) - sample.nanoseconds) < TOLERANCE


def test_the_line_through_a_run_meets_the_wall_clock_within_its_error(clock: Clock) -> None:
    for _ in range(100):
        clock.refit()
    sample = tight_sample(clock.source, time.CLOCK_REALTIME)
    fit = clock.fit()
    assert abs(fit.to_realtime_ns(sample.middle) - sample.nanoseconds) < fit.error_ns + TOLERANCE
    assert 0 <= fit.offset_ticks < fit.frequency


def test_the_counter_only_goes_forward() -> None:
    source = TscSource()
    readings = [source.read() for _ in range(1000)]
    assert readings == sorted(readings)
    assert readings[0] < readings[-1]


def test_a_sample_lies_between_its_readings() -> None:
    source = TscSource()
    before = source.read()
    sample = source.sample(time.CLOCK_MONOTONIC)
    assert before <= sample.before < sample.after <= source.read()
    assert abs(sample.nanoseconds - time.monotonic_ns()) < 1_000_000_000


def test_the_best_clock_serves_here() -> None:
    clock = best_clock()
    before = time.time_ns()
    ticks = clock.source.read()
    after = time.time_ns()
    [told] = clock.to_realtime_ns(np.array([ticks], np.uint64))
    error = clock.error_ns + 1_000_000
    assert before - error < told < after + error


def test_large_times_keep_every_nanosecond() -> None:
    """At some 2**60 ns, a floating-point number would be off by up to 128."""
    source = SteppedSource(5_000_000_000_000_000, 3_000_000_000_000_000_001)
    clock = Clock(source)
    source.ticks += 1_000_000
    source.nanoseconds += 1_000_000
    ticks = np.arange(5_000_000_000_000_000, 5_000_000_001_000_001, 1000, dtype=np.uint64)
    told = clock.to_monotonic_ns(ticks)
    assert told.dtype == np.uint64
    assert [int(t) for t in told] == [3_000_000_000_000_000_001 + step for step in range(0, 1_000_001, 1000)]


def test_times_from_the_future_and_the_past_are_held_to_the_run() -> None:
    source = SteppedSource(1000, 50_000)
    clock = Clock(source)
    source.ticks, source.nanoseconds = 3000, 51_000
    told = clock.to_monotonic_ns(np.array([0, 2000, 2**64 - 1], np.uint64))
    assert list(told) == [50_000, 50_500, 51_000]


def test_no_ticks_give_no_times() -> None:
    assert len(best_clock().to_realtime_ns(np.empty(0, np.uint64))) == 0


steps = st.lists(
    st.tuples(st.integers(1, 10**9), st.integers(0, 10**9), st.lists(st.floats(0, 1), max_size=4)), max_size=20
)


@given(steps)
def test_later_ticks_never_get_an_earlier_time_across_conversions(rounds: list[tuple[int, int, list[float]]]) -> None:
    """This is true even if the rates of the two clocks vary, and for any order of conversions."""
    source = SteppedSource(10**12, 10**15)
    clock = Clock(source)
    told: list[tuple[int, int]] = []
    for ticks, nanoseconds, places in rounds:
        before = source.ticks
        source.ticks += ticks
        source.nanoseconds += nanoseconds
        wanted = np.array([before + int(place * ticks) for place in places], np.uint64)
        told += [(int(tick), int(at)) for tick, at in zip(wanted, clock.to_realtime_ns(wanted), strict=True)]
    told.sort()
    times = [at for _, at in told]
    assert times == sorted(times)


def test_a_run_of_many_anchors_is_thinned_and_still_right() -> None:
    source = SteppedSource(0, 0)
    clock = Clock(source)
    for _ in range(10_000):
        source.ticks += 3000
        source.nanoseconds += 1000
        clock.refit()
    assert len(clock._anchors) <= 4096
    ticks = np.array([0, 3_000_000, 15_000_000, 29_999_000, 30_000_000], np.uint64)
    assert list(clock.to_monotonic_ns(ticks)) == [0, 1_000_000, 5_000_000, 9_999_666, 10_000_000]


@given(st.integers(10**6, 10**10), st.integers(0, 10**17), st.integers(0, 10**17), st.integers(2, 50))
def test_a_steady_clock_is_fitted_exactly(frequency: int, ticks: int, nanoseconds: int, anchors: int) -> None:
    source = SteppedSource(ticks, nanoseconds)
    clock = Clock(source)
    for second in range(1, anchors):
        source.ticks, source.nanoseconds = ticks + second * frequency, nanoseconds + second * 10**9
        clock.refit()
    fit = clock.fit()
    assert isinstance(fit, Fit)
    assert fit.frequency == frequency
    assert abs(fit.to_realtime_ns(ticks) - nanoseconds - 1_700_000_000_000_000_000) <= 2000
