"""Reuses trampolines in related processes: a trampoline that was built for a site of one process also serves the
others.

Forked processes share the pages of trampolines that existed at the fork, so they also share the trampolines that are
written to these pages later. Consider a server that forks a child for each request. Without this reuse, htrun would
build the same trampoline in each child until these pages are full, and the account of the run would list the same call
site once for each child.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.intercept.sites import Patch, Site

    RunAt = Callable[[int], object]
    """Returns an object that represents the pages of trampolines at an address of one process; None if there are no
    pages. Processes that share the pages have the same object."""

_SURE, _MOST_SURE = 2, 4

Kind = tuple[int, bool, bool]
"""The properties that determine a trampoline, in addition to the site: the address of the control word, how the
trampoline identifies threads (`Arena.self_pointers`), and whether the guest is big-endian."""


class Made(NamedTuple):
    """A patch, the address of the runtime stub that its trampoline uses, and the pages that contain trampoline and
    stub."""

    patch: Patch
    runtime: int
    pages: tuple[object, object]


class Family:
    """Processes whose address spaces were forked from a common address space that had an arena."""

    __slots__ = ("_emitted", "_made", "_newest", "_sites", "additions")

    def __init__(self) -> None:
        self.additions = 0
        """The number of patches that have been made so far."""
        self._emitted = 0
        """A score of recent threads. A thread that has emitted adds one, and a thread that has exited without an event
        subtracts one. The score is at least 0 and at most `_MOST_SURE`."""
        self._sites: dict[int, list[Site]] = {}
        self._made: dict[tuple[int, Kind], Made] = {}
        """The latest patch for each site number and kind."""
        self._newest: dict[int, Site] = {}
        """The sites for which patches were made, by address. The site with the most recent patch is last."""

    @property
    def emits(self) -> bool:
        """Whether the next thread of these processes will probably emit events."""
        return self._emitted >= _SURE

    def learn(self, *, emitted: bool) -> None:
        """Count a thread. ``emitted``: True if it has emitted, False if it has exited without an event."""
        self._emitted = min(self._emitted + 1, _MOST_SURE) if emitted else max(self._emitted - 1, 0)

    def site(self, address: int, code: bytes) -> Site | None:
        """The site that a related process has at ``address``. The result is None if ``code`` does not begin with the
        bytes of that site."""
        return next((site for site in self._sites.get(address, ()) if code.startswith(site.code)), None)

    def add(self, site: Site, kind: Kind, patch: Patch, runtime: int, run_at: RunAt) -> None:
        """Add ``patch``, which was made for ``site``."""
        same = self._sites.setdefault(site.address, [])
        if all(other.number != site.number for other in same):
            same.append(site)
        self._made[site.number, kind] = Made(patch, runtime, (run_at(patch.at), run_at(runtime)))
        self._newest.pop(site.address, None)
        self._newest[site.address] = site
        self.additions += 1

    def newest(self, count: int) -> list[Site]:
        """The sites of the last ``count`` patches, the most recent first."""
        return list(itertools.islice(reversed(self._newest.values()), count))

    def made(self, site: Site, kind: Kind, run_at: RunAt) -> Made | None:
        """The latest patch for ``site``. The result is None if the process of ``run_at`` does not have the pages that
        contain the patch's trampoline and stub."""
        made = self._made.get((site.number, kind))
        if made is None or made.pages != (run_at(made.patch.at), run_at(made.runtime)):
            return None
        return made
