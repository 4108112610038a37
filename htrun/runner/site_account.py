"""Collects the facts about the sites of a run, for the summary and for ``-v``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from htrun.events.records import RING_SITE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.intercept.site_report import Account
    from htrun.intercept.sites import Site
    from htrun.intercept.symbol_names import SymbolNames
    from htrun.runner.options import RunOptions


class SiteAccount:
    """The sites of a run. If the user has asked for the sites' names, they are looked up while the program runs."""

    def __init__(self, options: RunOptions) -> None:
        self.sites: Sequence[Account] = ()
        """The summary's entry for each site; empty before `finish` is called."""
        self._print = options.verbosity > 0
        self._wanted = options.summary is not None or self._print
        # Get the allowed processors here, because the tracer's main thread may later be bound to the program's
        # processor.
        self._processors = os.sched_getaffinity(0)
        self._names: SymbolNames | None = None

    def met(self, site: Site) -> None:
        """Note that ``site`` was seen for the first time."""
        if not self._wanted or not site.place.file:
            return
        if self._names is None:
            from htrun.intercept.symbol_cache import SymbolCache
            from htrun.intercept.symbol_names import SymbolNames

            self._names = SymbolNames(SymbolCache.of_user(os.environ), self._processors)
        self._names.ask(site.place.file, site.place.offset_of(site.address))

    def finish(self, sites: Sequence[Site], events: Mapping[int, int]) -> None:
        """Complete the account after the run. ``events``: the number of events of each site, by site number."""
        if not self._wanted:
            return
        from htrun.intercept.site_report import account, lines

        names = self._names
        if names is not None:
            names.finish()
        self.sites = account(sites, events, names.find if names is not None else _no_name)
        if self._print:
            # Standard error may be a closed pipe.
            with suppress(OSError):
                sys.stderr.writelines(f"htrun: {line}\n" for line in lines(self.sites))
                if by_ring := events.get(RING_SITE, 0):
                    sys.stderr.write(f"htrun: rings of the channel: events {by_ring}, without a trap\n")
                sys.stderr.flush()


def _no_name(_file: str, _offset: int) -> None:
    """Return no name, since no names were looked up."""
