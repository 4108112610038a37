"""Stores the sites of a run as facts in its trace, so that a reader of the trace can find the names of the sites.

The run stores only the file and the offset of each site, because it takes half a second to look symbols up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from htrun.intercept.places import Place
from htrun.intercept.sites import Site
from htrun.intercept.symbols import symbol_of

_PREFIX = "site_"
_MOST = 4096
"""The maximum number of sites that are described. The generated code of an emulator may have many more sites, but these
have no names."""


@dataclass(frozen=True)
class SiteFacts:
    """One site. ``file``: the path of the file that contains the site's code; empty for generated code. ``offset``: the
    offset of the site in the file (bytes). ``size`` (bytes) and ``modified`` (ns since the epoch) identify the file
    that was running."""

    pid: int
    address: int
    instruction: str
    file: str = ""
    offset: int = 0
    size: int = 0
    modified: int = 0

    @property
    def name(self) -> str:
        """The function that contains the site. If the file has changed, the file and the offset instead."""
        if self.file and _stamp(self.file) != (self.size, self.modified):
            return f"{self.file}+{self.offset:#x}"
        return symbol_of(Place(self.address, self.address, self.file, self.offset, shared=False), self.address)


def facts_of(sites: Sequence[Site]) -> dict[str, str]:
    """The facts about ``sites``. `sites_of` knows their keys."""
    return {f"{_PREFIX}{site.number}": json.dumps(asdict(_facts(site))) for site in sites[:_MOST]}


def is_site(key: str) -> bool:
    """Whether ``key`` is the key of a fact from `facts_of`."""
    return key.startswith(_PREFIX) and key.removeprefix(_PREFIX).isdecimal()


def sites_of(facts: Mapping[str, str | int]) -> dict[int, SiteFacts]:
    """The sites that the facts of a trace describe, by site number. Invalid facts are left out."""
    found = {}
    for key, text in facts.items():
        if is_site(key):
            try:
                found[int(key.removeprefix(_PREFIX))] = SiteFacts(**json.loads(str(text)))
            except (ValueError, TypeError):
                # The fact is damaged or from another version: the site is shown by its number only.
                continue
    return found


def _facts(site: Site) -> SiteFacts:
    place = site.place
    if not place.file:
        return SiteFacts(site.pid, site.address, site.store.text)
    offset = place.offset_of(site.address)
    return SiteFacts(site.pid, site.address, site.store.text, place.file, offset, *_stamp(place.file))


def _stamp(file: str) -> tuple[int, int]:
    """The size (bytes) and the modification time (ns) of ``file``; zeros if the file does not exist."""
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
