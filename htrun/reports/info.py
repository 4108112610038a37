"""Reports on the contents of a trace, and on how this machine can record, as text and for other programs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import htrun
from htrun import hosts
from htrun.events.definitions import EVENTS
from htrun.events.records import RING_SITE
from htrun.intercept.site_facts import is_site, sites_of
from htrun.reports.table import printable, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from htrun.analysis.host_clocks import HostClocks
    from htrun.analysis.statistics import Counts
    from htrun.analysis.trace import Trace
    from htrun.intercept.site_facts import SiteFacts

VERSION = 1
"""The version of the JSON (schemas/info.json)."""
MOST_ROWS = 20
"""The default maximum number of rows that are shown of a table."""
_MOST_CHARACTERS = 200


def machine_facts() -> dict[str, str]:
    """The report on how this machine can record."""
    clock = hosts.machine().best_clock()
    return {
        "version": htrun.__version__,
        "clock": f"{clock.source.name}, within {clock.error_ns} ns",
        "events": ", ".join(definition.name for definition in EVENTS),
    }


def trace_facts(trace: Trace, counts: Counts, clocks: HostClocks | None) -> dict[str, Any]:
    """The complete report on ``trace``, as data for programs. ``clocks``: the clocks of its host; None if they are
    unknown."""
    known = sites_of(trace.environment)
    environment = {key: value for key, value in trace.environment.items() if not is_site(key)}
    threads = [
        {
            "tid": stream.tid,
            "pid": stream.pid,
            "vcpu": stream.vcpu,
            "comm": stream.comm,
            "events": counts.streams[number],
            "lost": trace.discarded[number],
        }
        for number, stream in enumerate(trace.streams)
    ]
    return {
        "version": VERSION,
        "trace": str(trace.path),
        "environment": environment,
        "first_ns": counts.first,
        "last_ns": counts.last,
        "seconds": counts.seconds,
        "events": counts.events,
        "lost": sum(trace.discarded),
        "events_per_second": counts.rate,
        "clocks": None if clocks is None else _clock_facts(clocks),
        "threads": threads,
        "names": dict(counts.names.most_common()),
        "sites": [_site(site, known.get(site), number) for site, number in counts.sites.most_common()],
    }


def _clock_facts(clocks: HostClocks) -> dict[str, Any]:
    steps = [{"clock": step.clock.name.lower(), "change_ns": step.change} for step in clocks.steps]
    return {"readings": clocks.count, "window_ns": clocks.window_ns, "steps": steps}


def _site(number: int, facts: SiteFacts | None, events: int) -> dict[str, Any]:
    told = {} if facts is None else {"symbol": facts.name, **asdict(facts)}
    return {"number": number, "events": events, **told}


def report(trace: Trace, counts: Counts, clocks: HostClocks | None, most: int | None) -> Iterator[str]:
    """The report on ``trace`` as text. ``clocks``: see `trace_facts`. ``most``: the maximum number of rows of each
    table; None: all rows."""
    facts = trace.environment
    host = [str(facts[key]) for key in ("hostname", "sysname", "kernel_release", "machine") if facts.get(key)]
    emulator = [str(facts[key]) for key in ("emulator", "emulator_version") if facts.get(key)]
    rate = f"{counts.rate:,.0f} a second" if counts.rate is not None else ""
    # A thread that executes another program has a separate stream for each of its names.
    threads = len({(stream.pid, stream.tid) for stream in trace.streams})
    told = {
        "trace": str(trace.path),
        "command": facts.get("command", ""),
        "host": " ".join(host),
        "guest": facts.get("guest_architecture", ""),
        "emulator": ", ".join(emulator),
        "htrun": facts.get("htrun_version", ""),
        "clock": _clock(trace),
        "clocks": _clocks(clocks) if clocks is not None else "",
        "began": _date(counts.first) if counts.first is not None else "",
        "lasted": f"{counts.seconds:.9f} s" if counts.first is not None else "",
        "events": ", ".join(filter(None, [f"{counts.events:,}", rate])),
        "lost": f"{sum(trace.discarded):,}",
        "arguments": str(trace.shapes.num_args),
        "threads": f"{threads}, processes: {len({stream.pid for stream in trace.streams})}",
    }
    yield pairs_as_lines((key, str(value)) for key, value in told.items() if value != "")
    yield from _threads(trace, counts, most)
    total = max(counts.events, 1)
    names = [(name, f"{number:,}", f"{number / total:.1%}") for name, number in counts.names.most_common()]
    yield from _section(("event", "events", "share"), names, most)
    yield from _sites(trace, counts, most)


def _threads(trace: Trace, counts: Counts, most: int | None) -> Iterator[str]:
    order = sorted(range(len(trace.streams)), key=lambda number: -counts.streams[number])
    rows = []
    for number in order:
        stream = trace.streams[number]
        ids = (str(stream.pid), str(stream.tid), str(stream.vcpu))
        rows.append((printable(stream.comm), *ids, f"{counts.streams[number]:,}", f"{trace.discarded[number]:,}"))
    yield from _section(("thread", "pid", "tid", "vcpu", "events", "lost"), rows, most)


def _sites(trace: Trace, counts: Counts, most: int | None) -> Iterator[str]:
    known, total = sites_of(trace.environment), max(counts.events, 1)
    rows = []
    for place, (number, events) in enumerate(counts.sites.most_common()):
        # Names of functions are looked up only for the rows that are shown.
        facts = known.get(number) if most is None or place < most else None
        name, code = (facts.name, facts.instruction) if facts is not None else ("", "")
        what = f"{number}" + (f" {printable(name)}: {printable(code)}" if name else "")
        rows.append(
            (
                "rings of the channel" if number == RING_SITE else what,
                f"{events:,}",
                f"{events / total:.1%}",
            )
        )
    yield from _section(("site", "events", "share"), rows, most)


def _section(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], most: int | None) -> Iterator[str]:
    """A table of ``rows``, or of the first ``most`` rows. Words are aligned to the left, numbers to the right."""
    if not rows:
        return
    shown = rows if most is None else rows[:most]
    yield "\n"
    yield from table(head, shown, [place > 0 for place in range(len(head))])
    if len(shown) < len(rows):
        yield f"... and {len(rows) - len(shown):,} more; --all shows them\n"


def pairs_as_lines(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and their values, one pair per line."""
    return "".join(f"{key + ':':<11}{_shortened(printable(value))}\n" for key, value in pairs)


def _clock(trace: Trace) -> str:
    source, error = trace.environment.get("clock_source"), trace.environment.get("clock_error_ns")
    return f"{source}, within {error} ns" if source is not None else ""


def _clocks(clocks: HostClocks) -> str:
    """The readings of the host's clocks, and the changes of a clock that they show."""
    steps = [f"{step.clock.name} changed by {step.change / 1e9:+.9f} s" for step in clocks.steps]
    return ", ".join([f"{clocks.count} readings, each within {clocks.window_ns} ns", *steps])


def _date(nanoseconds: int) -> str:
    second, rest = divmod(nanoseconds, 10**9)
    try:
        local = time.localtime(second)
    except (OverflowError, OSError):
        # The year of a damaged time may be out of range.
        return f"@{second}.{rest:09}"
    return time.strftime(f"%Y-%m-%d %H:%M:%S.{rest:09} %z", local)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."
