"""Runs, as the verbs that compare several of them use them: a trace is one run, a directory of traces many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.reports.missing_spans import no_spans
from htrun.reports.output import warn
from htrun.reports.progress import with_progress
from htrun.reports.timing import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from htrun.analysis.timing.clock_step import ClockStep
    from htrun.analysis.timing.comparison import Run
    from htrun.analysis.timing.cost import Cost
    from htrun.analysis.timing.figures import Timing
    from htrun.analysis.timing.query import SpanQuery
    from htrun.analysis.timing.spans import Unpaired
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events

NOT_CORRECTED = "not corrected for what events cost: not every trace has a calibration"


@dataclass(frozen=True)
class TimedRun:
    """The results of one trace. ``facts``: of its environment; ``rows``: its spans; ``lost``: events; ``missing``: why
    there are no spans, if there are none."""

    path: Path
    facts: Mapping[str, str | int]
    rows: Sequence[Row]
    cost: Cost | None
    step: ClockStep
    unpaired: Mapping[str, Unpaired]
    lost: int
    missing: str = ""

    @classmethod
    def read(cls, path: Path, wanted: SpanQuery, events: Path | None) -> TimedRun:
        """Read the trace at ``path``; ``events``: names instead of its own. Raises `HtrunError`."""
        from htrun.analysis.trace import Trace
        from htrun.events.named import NamedEvents

        names = NamedEvents.load(events) if events is not None else None
        return cls.of(Trace.open(path, names, warn), wanted)

    @classmethod
    def of(cls, trace: Trace, wanted: SpanQuery, batches: Iterable[Events] | None = None) -> TimedRun:
        """The ``wanted`` spans of ``trace``, or only of some ``batches`` of its events. Raises `HtrunError`."""
        timings = wanted.timings(trace, events_with_progress(trace) if batches is None else batches)
        rows = rows_of(wanted, trace, timings.timings())
        missing = "" if rows else no_spans(trace, timings.unpaired, need_names=wanted.needs_names)
        facts, lost = dict(trace.environment), sum(trace.discarded)
        return cls(trace.path, facts, rows, timings.cost, timings.step, timings.unpaired, lost, missing)


def events_with_progress(trace: Trace) -> Iterator[Events]:
    """The events of ``trace`` in which spans are searched for, with a progress bar on a terminal."""
    return with_progress(trace.events(), len(trace), "pairing")


def rows_of(query: SpanQuery, trace: Trace, timings: Iterable[Timing]) -> list[Row]:
    """``timings`` that ``query`` has found in ``trace``, with their groups in words."""
    return [Row(timing, query.label(trace, timing)) for timing in timings]


def must_have_spans(runs: Sequence[TimedRun], name: str) -> None:
    """Raise `HtrunError` if none of ``runs`` has any spans. ``name``: of the runs, for the message."""
    if not any(run.rows for run in runs):
        raise HtrunError(f"{name} {runs[0].missing}")


def differing(runs: Sequence[TimedRun]) -> list[str]:
    """How the environments of ``runs`` differ from that of the first, one line each."""
    from htrun.analysis.timing.doubts import differences

    return list(dict.fromkeys(line for run in runs[1:] for line in differences(runs[0].facts, run.facts)))


def traces_in(path: Path) -> list[Path]:
    """``path`` itself if it is a trace, else the traces in it, as bench -o leaves them.

    Raises `HtrunError` if there are none.
    """
    if not path.is_dir():
        what = "is not a directory" if path.exists() else "does not exist"
        raise HtrunError(f"{path} {what}; give a trace, or a directory of traces")
    if (path / "metadata").exists() or not any(path.iterdir()):
        return [path]
    traces = sorted(each for each in path.iterdir() if (each / "metadata").is_file())
    if not traces:
        raise HtrunError(f"{path} is neither a trace nor a directory of traces")
    return traces


def by_name(runs: Sequence[TimedRun], *, corrected: bool) -> dict[str, list[Run]]:
    """The spans of ``runs`` by name and group. ``corrected``: for the cost of events."""
    from htrun.analysis.timing.comparison import Run

    found: dict[str, list[Run]] = {}
    for run in runs:
        for row in run.rows:
            figures = row.timing.corrected if corrected else row.timing.raw
            assert figures is not None
            run_of_name = Run(figures.median, figures.distribution, figures.resolved, figures.reach)
            found.setdefault(row.title, []).append(run_of_name)
    return found


def can_be_corrected(runs: Sequence[TimedRun]) -> bool:
    """Whether all of ``runs`` have a calibration."""
    return all(row.timing.corrected is not None for run in runs for row in run.rows)


def combined(runs: Sequence[TimedRun]) -> list[Row]:
    """The spans of all ``runs`` together. The interval of a median is that of the runs' medians, if wider."""
    parts: dict[tuple[str, str | None], list[Timing]] = {}
    for run in runs:
        for row in run.rows:
            parts.setdefault((row.timing.name, row.group), []).append(row.timing)
    from htrun.analysis.timing.figures import together

    return [Row(together(timings), group) for (_, group), timings in parts.items()]
