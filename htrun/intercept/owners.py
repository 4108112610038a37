"""Each byte of code has one owner: a patched site owns its store and the bytes after it that its jump borrows.

No other site's patch may change these bytes. They are restored in order: a jump that ends within another site's jump is
removed first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from htrun.intercept.guest import AddressSpace
from htrun.intercept.sites import Site

_LONGEST_PUN = 8
"""Bytes: a store of four and four borrowed ones."""


def owners_of(space: AddressSpace, site: Site) -> Iterator[Site]:
    """Other sites whose patches are on bytes of this one's store."""
    for address in range(site.address - _LONGEST_PUN + 1, site.address + site.store.length):
        other = space.sites.get(address)
        if other is None or other is site or other.patch is None:
            continue
        if other.address + len(other.patch.written) + len(other.patch.borrowed) > site.address:
            yield other


def with_owners(space: AddressSpace, sites: Iterable[Site]) -> list[Site]:
    """``sites`` in the order in which patches may be removed: each after the sites whose patches cover some of its
    bytes."""
    found: dict[Site, None] = {}

    def add(site: Site) -> None:
        if site in found:
            return
        for other in owners_of(space, site):
            if other.address < site.address:
                add(other)
        found[site] = None

    for site in sites:
        add(site)
    return list(found)
