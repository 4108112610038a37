"""The channel's mappings in an address space, compared with a model of every page."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from htrun.channel import layout
from htrun.intercept.guest import Mapping, Mappings

_PAGE = 0x1000
_PAGES = st.integers(0, 40)
_RANGES = st.tuples(_PAGES, st.integers(1, 12))
_CHANGES = st.lists(st.tuples(st.booleans(), _RANGES, st.integers(0, 60)), max_size=20)


@given(_CHANGES)
def test_every_page_is_known(changes: list[tuple[bool, tuple[int, int], int]]) -> None:
    mappings = Mappings()
    model: dict[int, int] = {}
    for adds, (page, pages), offset in changes:
        start, end = page * _PAGE, (page + pages) * _PAGE
        if adds:
            mappings.add(Mapping(start, end - start, offset * _PAGE))
            model.update({page + n: offset + n for n in range(pages)})
        else:
            mappings.remove(start, end)
            for number in range(page, page + pages):
                model.pop(number, None)
        for number in range(60):
            found = mappings.find(number * _PAGE + 8)
            file_page = None if found is None else (number * _PAGE - found.start + found.offset) // _PAGE
            assert file_page == model.get(number)
        assert bool(mappings) == bool(model)


@given(_RANGES, _RANGES)
def test_overlapping(one: tuple[int, int], other: tuple[int, int]) -> None:
    mappings = Mappings()
    mappings.add(Mapping(one[0] * _PAGE, one[1] * _PAGE, 0))
    shared = set(range(one[0], sum(one))) & set(range(other[0], sum(other)))
    assert bool(mappings.overlapping(other[0] * _PAGE, sum(other) * _PAGE)) == bool(shared)


def test_regions_of_a_whole_and_of_a_partial_mapping() -> None:
    whole = Mapping(0x7000_0000, 1 << 20, 0)
    assert whole.header == (0x7000_0000, 0x7000_0000 + layout.HEADER_SIZE)
    assert whole.control == (0x7001_0000, 0x7002_0000)
    data_only = Mapping(0x7000_0000, 0x1000, layout.DATA_OFFSET)
    assert data_only.control[0] >= data_only.control[1]
    second_half = Mapping(0x7000_0000, 0x20000, layout.CONTROL_OFFSET + 0x8000)
    assert second_half.control == (0x7000_0000, 0x7000_8000)


def test_a_copy_is_independent() -> None:
    mappings = Mappings()
    mappings.add(Mapping(0x1000, 0x1000, 0))
    twin = mappings.copy()
    mappings.remove(0, 1 << 30)
    assert twin.find(0x1000) is not None
    assert mappings.find(0x1000) is None
