"""Runs for the verbs that compare them: a trace is one run, a directory of traces is several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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
    from htrun.analysis.timing.figures import Figures, Timing
    from htrun.analysis.timing.query import SpanQuery
    from htrun.analysis.timing.spans import Unpaired
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events

NOT_CORRECTED = "not corrected for the cost of events: not every trace has a calibration"


class RunOfSpans(Protocol):
    """One run, with the properties that a comparison needs."""

    @property
    def facts(self) -> Mapping[str, str | int]:
        """The facts of its environment."""

    @property
    def lost(self) -> int:
        """The number of its lost events."""

    @property
    def missing(self) -> str:
        """The reason why there are no spans, if there are none."""

    @property
    def remarks(self) -> Sequence[str]:
        """Its differences from other runs of its side."""

    @property
    def is_corrected(self) -> bool:
        """Whether all of its spans are corrected for the cost of events."""

    def spans(self, *, corrected: bool) -> Mapping[str, Run]:
        """Its spans by name and group. ``corrected``: for the cost of events."""


@dataclass(frozen=True)
class TimedRun:
    """The results of one trace.

    ``facts``: facts of its environment; ``rows``: its spans; ``lost``: number of lost events; ``missing``: the reason
    why there are no spans, if there are none.
    """

    path: Path
    facts: Mapping[str, str | int]
    rows: Sequence[Row]
    cost: Cost | None
    step: ClockStep
    unpaired: Mapping[str, Unpaired]
    lost: int
    missing: str = ""
    remarks: Sequence[str] = ()

    @property
    def is_corrected(self) -> bool:
        """See `RunOfSpans`."""
        return all(row.timing.corrected is not None for row in self.rows)

    def spans(self, *, corrected: bool) -> Mapping[str, Run]:
        """See `RunOfSpans`."""
        from htrun.analysis.timing.comparison import Run

        return {name: Run.of(figures) for name, figures in self.figures(corrected=corrected).items()}

    def figures(self, *, corrected: bool) -> Mapping[str, Figures]:
        """The figures of its spans by name and group. ``corrected``: for the cost of events."""
        found = {row.title: row.timing.corrected if corrected else row.timing.raw for row in self.rows}
        return {name: figures for name, figures in found.items() if figures is not None}

    @classmethod
    def read(cls, path: Path, wanted: SpanQuery, events: Path | None) -> TimedRun:
        """Read the trace at ``path``.

        ``events``: a file with names of events, used instead of the trace's own. Raises `HtrunError`.
        """
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
    """A row for each of ``timings``, which ``query`` has found in ``trace``, with the text of its group."""
    return [Row(timing, query.label(trace, timing)) for timing in timings]


def must_have_spans(runs: Sequence[RunOfSpans], name: str) -> None:
    """Raise `HtrunError` if none of ``runs`` has any spans. ``name``: name of the runs in the message."""
    if not any(run.spans(corrected=False) for run in runs):
        raise HtrunError(f"{name} {runs[0].missing}")


def differing(runs: Sequence[RunOfSpans]) -> list[str]:
    """The differences between the environments of ``runs`` and that of the first run, one line each."""
    from htrun.analysis.timing.doubts import differences

    found = dict.fromkeys(line for run in runs[1:] for line in differences(runs[0].facts, run.facts))
    return list(found | dict.fromkeys(line for run in runs for line in run.remarks))


def traces_in(path: Path) -> list[Path]:
    """``path`` itself if it is a trace, otherwise the traces in it, as created by bench -o.

    Raises `HtrunError` if there are none.
    """
    if not path.is_dir():
        what = "is not a directory" if path.exists() else "does not exist"
        raise HtrunError(f"{path} {what}; give a trace, or a directory of traces")
    if (path / "metadata").exists() or not any(path.iterdir()):
        return [path]
    traces = _traces_below(path)
    if not traces and not (path / "b").exists() and (path / "a").is_dir():
        # bench -o without --vs.
        traces = _traces_below(path / "a")
    if not traces:
        raise HtrunError(f"{path} is neither a trace nor a directory of traces")
    return traces


def _traces_below(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if (each / "metadata").is_file())


def by_name(runs: Sequence[RunOfSpans], *, corrected: bool) -> dict[str, list[Run]]:
    """The spans of ``runs`` by name and group. ``corrected``: whether they are corrected for the cost of events."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        for name, of_name in run.spans(corrected=corrected).items():
            found.setdefault(name, []).append(of_name)
    return found


def can_be_corrected(runs: Sequence[RunOfSpans]) -> bool:
    """Whether all of ``runs`` have a calibration."""
    return all(run.is_corrected for run in runs)


def combined(runs: Sequence[TimedRun]) -> list[Row]:
    """The spans of all ``runs`` together. The interval of a median is that of the runs' medians, if wider."""
    from htrun.analysis.timing.figures import together

    parts: dict[tuple[str, str | None], dict[int, Timing]] = {}
    for number, run in enumerate(runs, 1):
        for row in run.rows:
            parts.setdefault((row.timing.name, row.group), {})[number] = row.timing
    return [Row(together(list(timings.values())), group, runs=timings) for (_, group), timings in parts.items()]
