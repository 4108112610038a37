"""The first round of the drain starts when traps have become rare."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from htrun.rings.calm import PAUSE, Calm

NOW = 1000.0
LONGEST = 5 * PAUSE


def test_it_comes_when_there_was_no_trap_for_a_while() -> None:
    calm = Calm(NOW)
    assert not calm.has_come(1, NOW)
    assert not calm.has_come(1, NOW + PAUSE / 2)
    assert not calm.has_come(2, NOW + PAUSE / 2)
    assert not calm.has_come(2, NOW + PAUSE)
    assert calm.has_come(2, NOW + 1.5 * PAUSE)


def test_it_does_not_come_during_the_first_trap() -> None:
    calm = Calm(NOW)
    assert not calm.has_come(0, NOW + 3 * PAUSE)
    assert not calm.has_come(1, NOW + 3 * PAUSE)
    assert calm.has_come(1, NOW + 4 * PAUSE)


@given(st.lists(st.tuples(st.floats(0, 2 * LONGEST), st.integers(0, 1000))))
def test_it_comes_in_any_case(looks: list[tuple[float, int]]) -> None:
    """The round starts even if there are many traps, because records must not stay in the rings."""
    calm = Calm(NOW)
    for after, traps in sorted(looks):
        come = calm.has_come(traps, NOW + after)
        assert come or after < LONGEST
        assert not come or after >= PAUSE
    assert calm.has_come(1 << 20, NOW + LONGEST)
