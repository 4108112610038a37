"""Calls that affect the channel's mappings, split into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from htrun.channel import layout
from htrun.intercept.guest import Mapping
from htrun.intercept.mapping_pieces import PAGE, PROT_NONE, PROT_READ, cut, whole_pages, words_of

_BASE = 0x7F00_0000_0000
_PAGES = st.integers(0, 300)


@given(offset=st.integers(0, 60), pages=st.integers(1, 260), at=_PAGES, length=_PAGES, machine=st.booleans())
def test_each_page_has_one_piece_with_its_protection(
    offset: int, pages: int, at: int, length: int, machine: bool
) -> None:
    mapping = Mapping(_BASE + 20 * PAGE, pages * PAGE, offset * PAGE)
    start = _BASE + at * PAGE
    found = {}
    for piece in cut([mapping], start, start + length * PAGE, machine=machine):
        for page in range(piece.start, piece.end, PAGE):
            assert page not in found
            found[page] = piece.protection
    assert sorted(found) == list(range(start, start + length * PAGE, PAGE))
    for page, protection in found.items():
        shown = page - mapping.start + mapping.offset if mapping.start <= page < mapping.end else layout.DATA_OFFSET
        if shown < layout.HEADER_SIZE:
            assert protection == PROT_READ
        elif layout.CONTROL_OFFSET <= shown < layout.CONTROL_OFFSET + layout.CONTROL_SIZE:
            assert protection == (PROT_READ if machine else PROT_NONE)
        else:
            assert protection is None


def test_what_is_the_guests_comes_first() -> None:
    """If the part of a call that affects the channel fails, the rest is not executed."""
    protections = [piece.protection for piece in cut([Mapping(_BASE, 1 << 20, 0)], _BASE, _BASE + 1, machine=False)]
    assert protections == [PROT_READ]
    whole = cut([Mapping(_BASE, 1 << 20, 0)], _BASE, _BASE + (1 << 20), machine=False)
    assert [piece.protection for piece in whole] == [None, PROT_READ, PROT_NONE]


def test_control_words_in_a_range() -> None:
    both = [
        Mapping(_BASE, 1 << 20, 0),
        Mapping(_BASE + (1 << 20), 0x10000, 0),
        Mapping(_BASE + (2 << 20), PAGE, 0x10000),
    ]
    word, other = _BASE + 0x10000, _BASE + (2 << 20)
    assert words_of(both, 0, 1 << 64) == {word, other}
    assert words_of(both, word, word + 1) == {word}
    assert words_of(both, word + 1, other) == frozenset()


def test_lengths_are_rounded_up() -> None:
    assert [whole_pages(length) for length in (0, 1, PAGE, PAGE + 1)] == [0, PAGE, PAGE, 2 * PAGE]
