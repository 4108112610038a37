"""The figures of `hypertrace top` as text, for the screen and for the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from htrun.events.stream import Stream
    from htrun.view.figures import LiveFigures

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_COUNTS = ((1e6, "M/s"), (1e3, "k/s"))

SPAN_HEAD = ("span", "count", "total", "mean", "p50", "p99", "min", "max")
NAME_HEAD = ("event", "count", "rate")
THREAD_HEAD = ("thread", "pid", "tid", "vcpu", "count", "rate")
"""The heads of the tables of `span_rows`, `name_rows` and `thread_rows`."""

Row = tuple[str, ...]


def duration(nanoseconds: float) -> str:
    """The text of a duration, with three digits and its unit."""
    size, unit = next(((size, unit) for size, unit in _UNITS if nanoseconds >= size), _UNITS[-1])
    value = nanoseconds / size
    return f"{value:.{0 if value >= 100 or size == 1 else 1 if value >= 10 else 2}f} {unit}"


def rate(events: float) -> str:
    """The text of a number of events per second, with three digits."""
    for size, unit in _COUNTS:
        if events >= size:
            value = events / size
            return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    return f"{events:.0f} /s"


def span_rows(figures: LiveFigures) -> list[Row]:
    """A row for the spans of each name, sorted by their total duration. Percentiles are those of the latest few
    thousand spans."""
    spans = sorted(figures.spans.items(), key=lambda item: -item[1].total)
    return [
        (
            name,
            f"{each.count:,}",
            *map(duration, (each.total, each.mean, each.percentile(50), each.percentile(99), each.least, each.most)),
        )
        for name, each in spans
    ]


def name_rows(figures: LiveFigures, rate_of: Callable[[str], float]) -> list[Row]:
    """A row for the events of each name, the most frequent first. ``rate_of``: a function that returns the events per
    second of a name."""
    return [(name, f"{count:,}", rate(rate_of(name))) for name, count in figures.names.most_common()]


def thread_rows(figures: LiveFigures, streams: Sequence[Stream], rate_of: Callable[[int], float]) -> list[Row]:
    """A row for the events of each thread, the busiest first. ``rate_of``: a function that returns the events per
    second of the stream with a number."""
    rows: list[Row] = []
    for number, count in figures.threads.most_common():
        stream = streams[number]
        ids = (str(stream.pid), str(stream.tid), str(stream.vcpu))
        rows.append((stream.comm, *ids, f"{count:,}", rate(rate_of(number))))
    return rows


def totals(figures: LiveFigures | None, lost: int) -> list[tuple[str, str]]:
    """The names and values of the figures of all events together."""
    rows = [("events", f"{figures.events if figures else 0:,}"), ("lost", f"{lost:,}")]
    if figures is not None:
        rows.append(("lasted", f"{figures.seconds:.6f} s"))
        rows.append(("rate", rate(figures.events / (figures.seconds or float("inf")))))
    return rows


def tables(figures: LiveFigures | None, streams: Sequence[Stream]) -> list[tuple[Row, list[Row]]]:
    """All tables, each with its head. Rates are averages over the whole run."""
    if figures is None:
        return []
    seconds = figures.seconds or float("inf")
    return [
        (SPAN_HEAD, span_rows(figures)),
        (NAME_HEAD, name_rows(figures, lambda name: figures.names[name] / seconds)),
        (THREAD_HEAD, thread_rows(figures, streams, lambda number: figures.threads[number] / seconds)),
    ]
