"""Bytes of code that two patches could use: each byte has one owner."""

from __future__ import annotations

from unittest.mock import create_autospec

import pytest

from htrun.hosts.x86_64.patch import plan
from htrun.hosts.x86_64.store import decode_store
from htrun.hosts.x86_64.trampoline import Trampoline
from htrun.intercept.guest import AddressSpace
from htrun.intercept.owners import owners_of, with_owners
from htrun.intercept.places import Place
from htrun.intercept.sites import Patch, Site
from htrun.tracee.memory import Memory

CODE = bytes.fromhex("892f c3 488910 4889be00000000 c3")
"""Three stores: 2 bytes and a return, 3 bytes, 7 bytes."""
AT = 0x5555_0010_0000
FIRST, SECOND, THIRD = AT, AT + 3, AT + 6


def space_with_sites() -> tuple[AddressSpace, dict[int, Site]]:
    """An address space in which the three sites are known, and not patched."""
    space = AddressSpace(Memory(1))
    for number, address in enumerate((FIRST, SECOND, THIRD)):
        store = decode_store(CODE[address - AT :], address, 64)
        place = Place(AT, AT + len(CODE), "", 0, shared=False)
        space.sites[address] = Site(number, 1, address, store.code, store, place)
    return space, space.sites


def patch(site: Site, borrowed: int) -> None:
    """Patch the site with a jump that borrows ``borrowed`` bytes."""
    trampoline = create_autospec(Trampoline, instance=True)
    behind = site.address + len(site.code) - AT
    site.patch = Patch(
        site.code, b"\xe9" * len(site.code), CODE[behind : behind + borrowed], trampoline, 0, keeps_flags=True
    )


def test_a_site_whose_first_bytes_end_another_jump_has_an_owner() -> None:
    space, sites = space_with_sites()
    assert list(owners_of(space, sites[SECOND])) == []
    patch(sites[FIRST], 3)
    assert list(owners_of(space, sites[SECOND])) == [sites[FIRST]]
    assert list(owners_of(space, sites[THIRD])) == []
    assert list(owners_of(space, sites[FIRST])) == []


def test_what_is_not_borrowed_is_free() -> None:
    space, sites = space_with_sites()
    patch(sites[FIRST], 1)
    assert list(owners_of(space, sites[SECOND])) == []


def test_a_jump_that_ends_in_another_is_taken_back_first() -> None:
    space, sites = space_with_sites()
    patch(sites[THIRD], 0)
    patch(sites[SECOND], 2)
    patch(sites[FIRST], 3)
    order = [sites[FIRST], sites[SECOND], sites[THIRD]]
    assert with_owners(space, [sites[THIRD]]) == order
    assert with_owners(space, [sites[THIRD], sites[FIRST], sites[SECOND]]) == order
    assert with_owners(space, [sites[FIRST]]) == [sites[FIRST]]


@pytest.mark.parametrize("ending", ["c3", "c20000", "eb00", "ffe0", "e900000000"])
def test_generated_code_behind_an_end_is_not_borrowed(ending: str) -> None:
    """The guest may rewrite it alone, while the jump before it is unchanged."""
    code = bytes.fromhex("48892f" + ending + "90" * 16)
    behind = len(bytes.fromhex(ending))
    for candidate in plan(code, AT, 3, generated=True).candidates:
        assert len(candidate.borrowed) <= behind
    assert plan(code, AT, 3, generated=False).candidates
    assert plan(bytes.fromhex("48892f0f1f4000c3"), AT, 3, generated=True).candidates
