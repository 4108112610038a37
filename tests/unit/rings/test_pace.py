"""The time for which the drain sleeps between its rounds."""

from __future__ import annotations

import pytest

from htrun.rings.pace import PERIOD, Pace


def pause(seconds: float, *fills: float) -> float:
    """The pause after a round that came ``seconds`` after the previous one and took ``fills`` ring fills."""
    pace = Pace()
    pace.pause(100.0)
    for fill in fills:
        pace.took(fill)
    return pace.pause(100.0 + seconds)


@pytest.mark.parametrize("fills", [(), (0.0,), (0.01,), (0.5,)])
def test_a_ring_that_is_half_full_after_a_whole_period_is_soon_enough(fills: tuple[float, ...]) -> None:
    assert pause(PERIOD, *fills) == PERIOD


def test_the_next_round_finds_the_ring_half_full() -> None:
    assert pause(PERIOD, 0.9) == pytest.approx(PERIOD * 0.5 / 0.9)
    assert pause(0.006, 0.75) == pytest.approx(0.004)


def test_a_ring_that_fills_faster_than_one_can_sleep_is_looked_at_at_once() -> None:
    assert pause(0.003, 1.0) == 0
    assert pause(PERIOD, 1.0, 1.0, 2.0) == 0


def test_what_others_took_out_since_the_last_round_counts() -> None:
    """The ring of a thread was emptied because it was full."""
    assert pause(PERIOD, 0.95, 0.3) == pytest.approx(PERIOD * 0.5 / 1.25)


def test_it_forgets() -> None:
    pace = Pace()
    assert pace.pause(1.0) == PERIOD
    pace.took(5.0)
    assert pace.pause(1.015) == 0
    assert pace.pause(1.016) == PERIOD
