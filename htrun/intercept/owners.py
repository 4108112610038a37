"""Finds the owner of a byte of code: the patched site whose store or jump contains this byte.

A patched site owns the bytes of its store, and the bytes after the store that its jump borrows. No patch of another
site may change these bytes. If the jump of one site borrows bytes of another site's jump, the former must be removed
before the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from htrun.intercept.guest import AddressSpace
from htrun.intercept.sites import Site

_LONGEST_PUN = 8
"""The length of the longest jump that borrows bytes: a store of four bytes, and four borrowed bytes."""


def owners_of(space: AddressSpace, site: Site) -> Iterator[Site]:
    """The other sites whose patches contain bytes of the store of ``site``."""
    for address in range(site.address - _LONGEST_PUN + 1, site.address + site.store.length):
        other = space.sites.get(address)
        if other is None or other is site or other.patch is None:
            continue
        if other.address + len(other.patch.written) + len(other.patch.borrowed) > site.address:
            yield other


def with_owners(space: AddressSpace, sites: Iterable[Site]) -> list[Site]:
    """``sites``, and the sites that own bytes of their stores, in an order in which the patches may be removed: each
    site comes after the sites whose patches cover some of its bytes."""
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
