"""Sites as facts of a trace: they are stored while the run can see them, so that a reader of the trace can find their
names.

Looking symbols up takes half a second, which no run should wait for.
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
"""Sites that are described: an emulator's generated code may have many more, which have no names."""


@dataclass(frozen=True)
class SiteFacts:
    """One site. ``file``: where its code is from, empty for generated code; ``offset``: bytes into it; ``size`` and
    ``modified`` (ns since the epoch): of the file when it ran, which identify it."""

    pid: int
    address: int
    instruction: str
    file: str = ""
    offset: int = 0
    size: int = 0
    modified: int = 0

    @property
    def name(self) -> str:
        """The function it is in, as far as the file is still the same; else the offset in the file."""
        if self.file and _stamp(self.file) != (self.size, self.modified):
            return f"{self.file}+{self.offset:#x}"
        return symbol_of(Place(self.address, self.address, self.file, self.offset, shared=False), self.address)


def facts_of(sites: Sequence[Site]) -> dict[str, str]:
    """A fact of each of ``sites``, by a key that `sites_of` knows."""
    return {f"{_PREFIX}{site.number}": json.dumps(asdict(_facts(site))) for site in sites[:_MOST]}


def is_site(key: str) -> bool:
    """Whether a fact of a trace is one of `facts_of`."""
    return key.startswith(_PREFIX) and key.removeprefix(_PREFIX).isdecimal()


def sites_of(facts: Mapping[str, str | int]) -> dict[int, SiteFacts]:
    """The sites that the facts of a trace describe, by number. Invalid facts are left out."""
    found = {}
    for key, text in facts.items():
        if is_site(key):
            try:
                found[int(key.removeprefix(_PREFIX))] = SiteFacts(**json.loads(str(text)))
            except (ValueError, TypeError):
                # Damaged, or another version's: the site then has a number only.
                continue
    return found


def _facts(site: Site) -> SiteFacts:
    place = site.place
    if not place.file:
        return SiteFacts(site.pid, site.address, site.store.text)
    offset = place.offset_of(site.address)
    return SiteFacts(site.pid, site.address, site.store.text, place.file, offset, *_stamp(place.file))


def _stamp(file: str) -> tuple[int, int]:
    """Size and time of change of ``file``; zeros if it is not there."""
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
