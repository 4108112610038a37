"""The mappings of rings: several rings are mapped together, and each can be found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from htrun.intercept.ring_maps import Piece, RingMaps

SIZE, MOST = 0x1000, 200


def mapped(numbers: list[int]) -> RingMaps:
    """An address space whose threads got the rings with these numbers, in order. Each piece is at another address."""
    maps, address = RingMaps(MOST), 0x10000
    for number in numbers:
        if maps.base_of(number) is None:
            first, count = maps.wanted(number)
            assert first <= number < first + count <= MOST
            maps.add(Piece(first, count, SIZE, address))
            address += (count + 1) * SIZE
    return maps


@given(st.lists(st.integers(0, MOST - 1), max_size=60))
def test_each_ring_lies_in_one_piece(numbers: list[int]) -> None:
    maps = mapped(numbers)
    where: dict[int, int] = {}
    for piece in maps.pieces:
        for number in range(piece.first, piece.first + piece.rings):
            assert number not in where
            where[number] = piece.address + (number - piece.first) * SIZE
    for number in range(MOST):
        base = maps.base_of(number)
        assert (None if base is None else base + number * SIZE) == where.get(number)
        assert number not in where or where[number] in maps
    assert set(numbers) <= set(where)


@given(st.lists(st.integers(0, MOST - 1), max_size=60))
def test_spare_rings_can_be_given_up(numbers: list[int]) -> None:
    maps, used = mapped(numbers), set(numbers[::2])
    before = {number: maps.base_of(number) for number in used}
    for piece in list(maps.spare(used)):
        maps.remove(piece)
    assert {number for number in range(MOST) if maps.base_of(number) is not None} == used
    assert {number: maps.base_of(number) for number in used} == before


def test_thousands_are_mapped_by_few_calls() -> None:
    maps = RingMaps(4096)
    for number in range(4096):
        if maps.base_of(number) is None:
            maps.add(Piece(*maps.wanted(number), SIZE, 0x10000 + number * SIZE))
    assert len(maps.pieces) < 40


def test_few_threads_get_few_rings() -> None:
    assert RingMaps(4096).wanted(0) == (0, 32)
    assert RingMaps(4096).wanted(3001) == (2976, 32)
    assert RingMaps(4).wanted(1) == (0, 4)


def test_no_more_than_there_is_room_for() -> None:
    assert RingMaps(4096).wanted(3001, 9) == (3000, 8)
    assert RingMaps(4096).wanted(3001, 1) == (3001, 1)
