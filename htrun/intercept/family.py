"""A trampoline that was built for a site of one process can be used by its relatives, too.

Forked processes share the pages of trampolines that were there at the fork, and with them what is made there later.
Otherwise a server that leaves each request to a child would have the same trampoline made in each, until those pages
are full, and the account of its run would name the same call site once for each child.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.intercept.sites import Patch, Site

    RunAt = Callable[[int], object]
    """The pages of trampolines at an address of one process, as an object that processes with the same pages share;
    None without pages."""

_SURE, _MOST_SURE = 2, 4

Kind = tuple[int, bool, bool]
"""What a trampoline depends on besides the site: the control word, how it knows threads (`Arena.self_pointers`), and
whether the guest is big-endian."""


@dataclass(frozen=True, slots=True)
class Made:
    """A patch, the address of the runtime stub that its trampoline uses, and the pages that both lie in."""

    patch: Patch
    runtime: int
    pages: tuple[object, object]


@dataclass(eq=False, slots=True)
class Family:
    """Processes whose address spaces were forked from one that had an arena."""

    additions: int = 0
    """How many patches were made so far."""
    _emitted: int = 0
    """Among the latest threads that began or exited: those that have emitted, minus those that have not."""
    _sites: dict[int, list[Site]] = field(default_factory=dict)
    _made: dict[tuple[int, Kind], Made] = field(default_factory=dict)
    """By the number of the site."""
    _newest: dict[int, Site] = field(default_factory=dict)
    """The sites for which patches were made, by address, from the oldest patch to the latest."""

    @property
    def emits(self) -> bool:
        """Whether its next thread will probably emit, too."""
        return self._emitted >= _SURE

    def learn(self, *, emitted: bool) -> None:
        """A thread has emitted, or has exited and never did."""
        self._emitted = min(self._emitted + 1, _MOST_SURE) if emitted else max(self._emitted - 1, 0)

    def site(self, address: int, code: bytes) -> Site | None:
        """The site that a relative has found at ``address``, where ``code`` is."""
        return next((site for site in self._sites.get(address, ()) if code.startswith(site.code)), None)

    def add(self, site: Site, kind: Kind, patch: Patch, runtime: int, run_at: RunAt) -> None:
        """``patch`` was made for ``site``."""
        same = self._sites.setdefault(site.address, [])
        if all(other.number != site.number for other in same):
            same.append(site)
        self._made[site.number, kind] = Made(patch, runtime, (run_at(patch.at), run_at(runtime)))
        self._newest.pop(site.address, None)
        self._newest[site.address] = site
        self.additions += 1

    def newest(self, count: int) -> list[Site]:
        """The sites for which the last ``count`` patches were made."""
        return list(itertools.islice(reversed(self._newest.values()), count))

    def made(self, site: Site, kind: Kind, run_at: RunAt) -> Made | None:
        """The latest trampoline for ``site``, if it is in memory that the process with ``run_at`` also has."""
        made = self._made.get((site.number, kind))
        if made is None or made.pages != (run_at(made.patch.at), run_at(made.runtime)):
            return None
        return made
