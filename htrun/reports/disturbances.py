"""Reports what disturbed spans: the time for which their threads did not run, and page faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from htrun.reports.table import table
from htrun.reports.units import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from htrun.analysis.timing.disturbances import Found
    from htrun.analysis.timing.on_cpu import OnCpu
    from htrun.analysis.timing.spans import Spans


def on_cpu_table(rows: Sequence[tuple[str, OnCpu]]) -> Iterator[str]:
    """The table of the processor times of spans. ``rows``: each with its title. No table if there are none."""
    if not rows:
        return
    head = ["span", "ran: median", "total", "share", "preempted", "waited", "page faults", "migrations", "disturbed"]
    yield "\n"
    yield from table(head, [[title, *_cells(found)] for title, found in rows], [False] + [True] * (len(head) - 1))
    for title, found in rows:
        if found.unknown:
            yield f"{title}: what disturbed {found.unknown:,} spans is unknown; this table leaves them out\n"


def _cells(found: OnCpu) -> list[str]:
    distribution, sums = found.distribution, found.sums
    if distribution is None:
        return ["-"] * 8
    ran = found.wall - sums["off"]
    return [
        nanoseconds(distribution.median),
        nanoseconds(ran),
        f"{ran / found.wall:.1%}" if found.wall else "-",
        nanoseconds(sums["preempted"]),
        nanoseconds(found.waiting),
        f"{sums['page_faults']:,}",
        f"{sums['migrations']:,}",
        f"{found.disturbed:,} of {distribution.count:,}",
    ]


def on_cpu_as_json(found: OnCpu) -> dict[str, Any]:
    """The processor times of spans for JSON. Times are in ns."""
    distribution, sums = found.distribution, found.sums
    return {
        "count": 0 if distribution is None else distribution.count,
        "median": None if distribution is None else distribution.median,
        "total": found.wall - sums["off"],
        "wall": found.wall,
        "preempted": sums["preempted"],
        "waiting": found.waiting,
        "preemptions": sums["preemptions"],
        "waits": sums["waits"],
        "page_faults": sums["page_faults"],
        "migrations": sums["migrations"],
        "disturbed": found.disturbed,
        "unknown": found.unknown,
    }


def disturbance_as_json(span: np.void, found: np.void) -> dict[str, int]:
    """What disturbed ``span``, for JSON. Times are in ns."""
    off, preempted = int(found["off"]), int(found["preempted"])
    return {
        "time": int(span["end"]) - int(span["begin"]) - off,
        "preempted": preempted,
        "waited": off - preempted,
        "page_faults": int(found["page_faults"]),
        "migrations": int(found["migrations"]),
    }


def reasons_of(spans: Spans, found: Found) -> dict[int, str]:
    """What disturbed each of ``spans``, by the id of its end event. Spans that were not disturbed are missing.
    ``found``: what disturbed them."""
    reasons = {
        int(span["end_number"]): reason_of(each, trapped=bool(span["trapped"]))
        for span, each in zip(spans, found, strict=True)
    }
    return {number: reason for number, reason in reasons.items() if reason}


def reason_of(found: np.void, *, trapped: bool) -> str:
    """What disturbed a span, as text; empty if nothing did. ``trapped``: whether an event in the span trapped."""
    parts = ["first event trapped"] if trapped else []
    if not found["known"]:
        return ", ".join([*parts, "switches unknown"])
    waited = found["off"] - found["preempted"]
    parts += [f"preempted {nanoseconds(found['preempted'])}"] if found["preempted"] else []
    parts += [f"waited {nanoseconds(waited)}"] if waited else []
    parts += [_count(int(found["page_faults"]), "page fault")] if found["page_faults"] else []
    parts += [_count(int(found["migrations"]), "migration")] if found["migrations"] else []
    return ", ".join(parts)


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
