"""The conversion between clocks of a host. The true relations are made up, so each result can be compared with
the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.analysis.host_clocks import HostClocks
from htrun.errors import HtrunError
from htrun.events.clock_readings import HostClock
from tests.unit.analysis.made_clocks import SECOND, MadeHost

LENGTH = 12
"""The length of a made-up run in seconds."""
PERIODIC = [number * SECOND for number in range(LENGTH + 1)]


def clocks_of(host: MadeHost, seed: int = 1, times: list[int] | None = None) -> HostClocks:
    return HostClocks(host.readings(PERIODIC if times is None else times, seed), "made")


def check(host: MadeHost, clocks: HostClocks, clock: HostClock, moments: list[int]) -> np.ndarray:
    """Convert the times of ``clock`` at the true ``moments``, and check that the truth is within the bounds. Returns
    the bounds in ns."""
    times = np.array([host.time(clock, moment) for moment in moments], np.uint64)
    truth = np.array([host.ticks(moment) for moment in moments], np.int64)
    ticks, errors = clocks.converter(clock).to_ticks(times)
    assert (np.abs(ticks.astype(np.int64) - truth) <= errors).all()
    return np.asarray(errors / host.frequency)


moments = st.lists(st.integers(0, LENGTH * SECOND), min_size=1, max_size=50).map(sorted)
seeds = st.integers(0, 1 << 30)
frequencies = st.floats(0.024, 4.0)


@given(moments, seeds, frequencies)
def test_without_slews_and_steps_the_bound_is_the_time_that_it_takes_to_read_clocks(
    chosen: list[int], seed: int, frequency: float
) -> None:
    host = MadeHost(frequency)
    clocks = clocks_of(host, seed)
    assert not clocks.steps
    for clock in HostClock:
        assert check(host, clocks, clock, chosen).max() < 60 * 3 + 10 + 5 / frequency


@given(moments, seeds, st.integers(2 * SECOND, 5 * SECOND), st.floats(-5e-4, 5e-4), st.floats(-5e-4, 5e-4))
def test_slews_are_within_the_bounds(chosen: list[int], seed: int, when: int, first: float, second: float) -> None:
    host = MadeHost(rates=((0, 1.0), (when, 1 + first), (when + 4 * SECOND, 1 + second)))
    clocks = clocks_of(host, seed)
    assert not clocks.steps
    for clock in HostClock:
        check(host, clocks, clock, chosen)
    quiet = [moment for moment in chosen if moment < SECOND]
    if quiet:
        assert check(host, clocks, HostClock.MONOTONIC, quiet).max() < 200


steps = st.one_of(st.integers(1000, 10**14), st.integers(-(10**14), -1000))


@given(moments, seeds, st.integers(SECOND, 9 * SECOND), steps)
def test_a_step_of_realtime_is_found_and_converted(chosen: list[int], seed: int, when: int, change: int) -> None:
    host = MadeHost(steps=((when, change),))
    clocks = clocks_of(host, seed)
    (step,) = clocks.steps
    assert step.clock is HostClock.REALTIME
    assert abs(step.change - change) < 250
    realtime = host.readings(PERIODIC, seed)[:, list(HostClock).index(HostClock.REALTIME)]
    assert realtime[step.after, 0] <= host.ticks(when) <= realtime[step.after + 1, 2]
    check(host, clocks, HostClock.REALTIME, chosen)
    check(host, clocks, HostClock.BOOTTIME, chosen)


@given(seeds, st.integers(SECOND, 9 * SECOND), st.integers(2 * SECOND, 10**14), st.booleans())
def test_times_around_a_step_of_more_than_a_second_are_exact(seed: int, when: int, change: int, back: bool) -> None:
    host = MadeHost(steps=((when, -change if back else change),))
    around = np.arange(when - SECOND, when + SECOND, SECOND // 100)
    clocks = clocks_of(host, seed)
    errors = check(host, clocks, HostClock.REALTIME, around.tolist())
    # Only the order of the events shows that a time before a step back is not the same time after the step.
    assert errors[around >= when if back else around >= 0].max() < 500
    times = np.array([host.time(HostClock.REALTIME, moment) for moment in around.tolist()], np.uint64)
    truth = np.array([host.ticks(moment) for moment in around.tolist()], np.int64)
    assert np.abs(clocks.converter(HostClock.REALTIME).to_ticks(times).times.astype(np.int64) - truth).max() < 2000


@given(moments, seeds, st.integers(SECOND, 9 * SECOND), st.integers(SECOND, 10**14))
def test_a_suspended_machine_is_a_step_of_boottime(chosen: list[int], seed: int, when: int, change: int) -> None:
    host = MadeHost(suspends=((when, change),), steps=((when, change),))
    clocks = clocks_of(host, seed)
    assert {step.clock for step in clocks.steps} == {HostClock.BOOTTIME, HostClock.REALTIME}
    for clock in HostClock:
        check(host, clocks, clock, chosen)


@given(seeds, st.lists(steps, min_size=2, max_size=4))
def test_several_steps_are_told_apart(seed: int, changes: list[int]) -> None:
    host = MadeHost(steps=[(int((2.5 + 2 * number) * SECOND), change) for number, change in enumerate(changes)])
    clocks = clocks_of(host, seed)
    assert len(clocks.steps) == len(changes)
    whole = list(range(0, LENGTH * SECOND, SECOND // 7))
    check(host, clocks, HostClock.REALTIME, whole)


@given(moments, seeds)
def test_batches_give_the_same_as_the_whole(chosen: list[int], seed: int) -> None:
    host = MadeHost(steps=((4 * SECOND + 300, -3 * SECOND), (8 * SECOND, SECOND // 3)))
    clocks = clocks_of(host, seed)
    times = np.array([host.time(HostClock.REALTIME, moment) for moment in chosen], np.uint64)
    whole = clocks.converter(HostClock.REALTIME).to_ticks(times)
    converter = clocks.converter(HostClock.REALTIME)
    parts = [converter.to_ticks(times[place : place + 3]) for place in range(0, len(times), 3)]
    assert np.array_equal(np.concatenate([part.times for part in parts]), whole.times)
    assert np.array_equal(np.concatenate([part.errors for part in parts]), whole.errors)


@given(moments, seeds, st.integers(SECOND, 9 * SECOND), steps)
def test_ticks_are_converted_back(chosen: list[int], seed: int, when: int, change: int) -> None:
    host = MadeHost(steps=((when, change),))
    clocks = clocks_of(host, seed)
    ticks = np.array([host.ticks(moment) for moment in chosen], np.uint64)
    for clock in HostClock:
        truth = np.array([host.time(clock, moment) for moment in chosen], np.int64)
        found, errors = clocks.from_ticks(ticks, clock)
        assert (np.abs(found.astype(np.int64) - truth) <= errors).all()


def test_times_outside_the_readings_have_larger_bounds() -> None:
    host = MadeHost()
    clocks = clocks_of(host, times=[20 * SECOND, 21 * SECOND, 22 * SECOND])
    for clock in HostClock:
        errors = check(host, clocks, clock, [10 * SECOND, 21 * SECOND, 40 * SECOND])
        assert errors[0] > errors[1] < errors[2]


def test_a_short_run_has_two_readings() -> None:
    host = MadeHost(rates=((0, 1 + 2e-5),))
    clocks = clocks_of(host, times=[0, SECOND // 100])
    errors = check(host, clocks, HostClock.MONOTONIC, list(range(0, SECOND // 100, 1000)))
    assert errors.max() < 60 * 3 + 2e-5 * SECOND / 100 + 10


def test_a_time_that_the_clock_skipped_is_in_the_step() -> None:
    host = MadeHost(steps=((5 * SECOND + 500_000_000, 3600 * SECOND),))
    clocks = clocks_of(host)
    time = host.time(HostClock.REALTIME, 5 * SECOND) + 1000 * SECOND
    ticks, errors = clocks.converter(HostClock.REALTIME).to_ticks(np.array([time], np.uint64))
    assert host.ticks(5 * SECOND) <= ticks[0] <= host.ticks(6 * SECOND + 1000)
    assert errors[0] > SECOND


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_readings(count: int) -> None:
    readings = MadeHost().readings(PERIODIC, 1)[:count]
    with pytest.raises(HtrunError, match="made contains fewer than two readings of the clocks"):
        HostClocks(readings, "made")


def test_impossible_readings() -> None:
    readings = MadeHost().readings(PERIODIC, 1)
    readings[3, 1, 0] = readings[3, 1, 2] + np.uint64(1)
    with pytest.raises(HtrunError, match="made is damaged: the reading 4 is impossible"):
        HostClocks(readings, "made")
