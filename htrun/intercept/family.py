"""Reuses a trampoline that was built for a site of one process in the related processes.

Forked processes share the pages of trampolines that existed at the fork, so they also share the trampolines that are
written to these pages later. Without this reuse, a server that forks a child for each request would build the same
trampoline in each child until those pages are full, and the account of the run would list the same call site once for
each child.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.intercept.sites import Patch, Site

    RunAt = Callable[[int], object]
    """Returns an object that stands for the pages of trampolines at an address of one process; None if there are no
    such pages. Processes that share the pages have the same object."""

_SURE, _MOST_SURE = 2, 4

Kind = tuple[int, bool, bool]
"""The properties, besides the site, that a trampoline depends on: the address of the control word, the way in which it
identifies threads (`Arena.self_pointers`), and whether the guest is big-endian."""


@dataclass(frozen=True, slots=True)
class Made:
    """A patch, the address of the runtime stub that its trampoline uses, and the pages that contain trampoline and
    stub."""

    patch: Patch
    runtime: int
    pages: tuple[object, object]


@dataclass(eq=False, slots=True)
class Family:
    """Processes whose address spaces were forked from one that had an arena."""

    additions: int = 0
    """The number of patches that were made so far."""
    _emitted: int = 0
    """A score of recent threads: plus one for a thread that has emitted, minus one for a thread that has exited without
    an event; at least 0, at most `_MOST_SURE`."""
    _sites: dict[int, list[Site]] = field(default_factory=dict)
    _made: dict[tuple[int, Kind], Made] = field(default_factory=dict)
    """The latest patch for each site number and kind."""
    _newest: dict[int, Site] = field(default_factory=dict)
    """The sites for which patches were made, by address; the site with the latest patch is last."""

    @property
    def emits(self) -> bool:
        """Whether the family's next thread will probably emit."""
        return self._emitted >= _SURE

    def learn(self, *, emitted: bool) -> None:
        """Count a thread that has ``emitted``, or that has exited without an event."""
        self._emitted = min(self._emitted + 1, _MOST_SURE) if emitted else max(self._emitted - 1, 0)

    def site(self, address: int, code: bytes) -> Site | None:
        """The site of a related process at ``address``, if ``code`` begins with the bytes of that site."""
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
        """The sites of the last ``count`` patches, the latest first."""
        return list(itertools.islice(reversed(self._newest.values()), count))

    def made(self, site: Site, kind: Kind, run_at: RunAt) -> Made | None:
        """The latest patch for ``site``, if the process to which ``run_at`` belongs has the pages of its trampoline and
        stub."""
        made = self._made.get((site.number, kind))
        if made is None or made.pages != (run_at(made.patch.at), run_at(made.runtime)):
            return None
        return made
