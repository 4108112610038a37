"""Reports the final state of each site, for the summary and for ``-v``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from htrun.intercept.sites import Site, describe
from htrun.intercept.symbols import symbol_of

Account = dict[str, str | int]


def account(sites: Sequence[Site], events: Mapping[int, int], find: Callable[[str, int], str | None]) -> list[Account]:
    """An entry for each site. ``events``: the number of events of each site, by site number. ``find``: see
    `symbol_of`."""
    return [
        {
            "number": site.number,
            "pid": site.pid,
            "address": f"{site.address:#x}",
            "file": site.place.file,
            "symbol": symbol_of(site.place, site.address, find),
            "instruction": site.store.text,
            "patched": describe(site.patch) if site.patch is not None else "",
            "not_patched": _why_not(site, events.get(site.number, 0)),
            "traps": site.traps,
            "events": events.get(site.number, 0),
        }
        for site in sites
    ]


def lines(accounts: Sequence[Account]) -> Iterator[str]:
    """One readable line for each site."""
    for site in accounts:
        fate = f"patched, {site['patched']}" if site["patched"] else f"not patched: {site['not_patched']}"
        yield (
            f"site {site['address']} in process {site['pid']}, {site['symbol']}: {site['instruction']}: {fate}; "
            f"traps {site['traps']}, events {site['events']}"
        )


def _why_not(site: Site, events: int) -> str:
    """The reason why a site has no patch at the end of the run; empty if the site has a patch."""
    if site.patch is not None:
        return ""
    if site.refused:
        return site.refused
    if not events:
        return "it never emitted an event"
    if site.losses:
        return f"its code was rewritten {site.losses} times" if site.losses > 1 else "its code was rewritten"
    return "the channel is no longer mapped at the address of its store"
