"""Runs, for the commands that compare runs. A trace is one run, and a directory of traces is several runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.analysis.read_ahead import read_ahead
from htrun.analysis.timing.run_order import block_of_trace
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
    from htrun.events.named import NamedEvents
    from htrun.events.records import Events
    from htrun.reports.single_runs import RunOfSpans

NOT_CORRECTED = "not corrected for the cost of events: not every trace has a calibration"


@dataclass(frozen=True)
class TimedRun:
    """The results of one trace.

    ``facts``: the facts of its environment; ``rows``: its spans; ``lost``: the number of lost events; ``missing``: the
    reason why it has no spans, empty if it has spans; ``block``: see `htrun.analysis.timing.comparison.Run`.
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
    block: str = ""

    @property
    def is_corrected(self) -> bool:
        """See `RunOfSpans`."""
        return all(row.timing.corrected is not None for row in self.rows)

    def spans(self, *, corrected: bool) -> Mapping[str, Run]:
        """See `RunOfSpans`."""
        from htrun.analysis.timing.comparison import Run

        return {name: Run.of(figures, self.block) for name, figures in self.figures(corrected=corrected).items()}

    def figures(self, *, corrected: bool) -> Mapping[str, Figures]:
        """The figures of the run's spans by name and group. ``corrected``: whether they are corrected for the cost of
        events."""
        found = {row.title: row.timing.corrected if corrected else row.timing.raw for row in self.rows}
        return {name: figures for name, figures in found.items() if figures is not None}

    @classmethod
    def read(cls, path: Path, wanted: SpanQuery, names: NamedEvents | None) -> TimedRun:
        """Read the trace at ``path``. ``names``: replace the names in the trace. Raises `HtrunError`."""
        from htrun.analysis.trace import Trace

        return replace(cls.of(Trace.open(path, names, warn), wanted), block=block_of_trace(path))

    @classmethod
    def of(cls, trace: Trace, wanted: SpanQuery, batches: Iterable[Events] | None = None) -> TimedRun:
        """The results of the ``wanted`` spans of ``trace``. ``batches``: the events that are read; None: all events.
        Raises `HtrunError`."""
        timings = wanted.timings(trace, events_with_progress(trace) if batches is None else batches)
        rows = rows_of(wanted, trace, timings.timings())
        missing = "" if rows else no_spans(trace, timings.unpaired, need_names=wanted.needs_names)
        facts, lost = dict(trace.environment), sum(trace.discarded)
        return cls(trace.path, facts, rows, timings.cost, timings.step, timings.unpaired, lost, missing)


def events_with_progress(trace: Trace) -> Iterator[Events]:
    """The events of ``trace``, read in another thread, with a progress bar on a terminal meanwhile."""
    return with_progress(read_ahead(trace.events()), len(trace), "pairing")


def rows_of(query: SpanQuery, trace: Trace, timings: Iterable[Timing]) -> list[Row]:
    """A row for each of ``timings``, which are results of ``query`` on ``trace``. The row contains the text of the
    timing's group."""
    return [Row(timing, query.label(trace, timing)) for timing in timings]


def must_have_spans(runs: Sequence[RunOfSpans], name: str) -> None:
    """Raise `HtrunError` if none of ``runs`` has spans. ``name``: the name of the runs in the message."""
    if not any(run.spans(corrected=False) for run in runs):
        raise HtrunError(f"{name} {runs[0].missing}")


def differing(runs: Sequence[RunOfSpans]) -> list[str]:
    """The differences between the environments of the first of ``runs`` and the other runs, one line each."""
    from htrun.analysis.timing.doubts import differences

    found = dict.fromkeys(line for run in runs[1:] for line in differences(runs[0].facts, run.facts))
    return list(found | dict.fromkeys(line for run in runs for line in run.remarks))


def traces_in(path: Path) -> list[Path]:
    """``path`` itself if it is a trace. Otherwise the traces in the directory ``path``, such as ``bench -o`` creates.

    Raises `HtrunError` if there are none.
    """
    if not path.is_dir():
        what = "is not a directory" if path.exists() else "does not exist"
        raise HtrunError(f"{path} {what}; give a trace, or a directory of traces")
    if (path / "metadata").exists() or not any(path.iterdir()):
        return [path]
    traces = _traces_below(path)
    if not traces and not (path / "b").exists() and (path / "a").is_dir():
        # Such a directory is created by bench -o without --vs.
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
    """The spans of all ``runs`` together, as `htrun.analysis.timing.figures.together` combines them."""
    from htrun.analysis.timing.figures import together

    parts: dict[tuple[str, str | None], dict[int, Timing]] = {}
    for number, run in enumerate(runs, 1):
        for row in run.rows:
            parts.setdefault((row.timing.name, row.group), {})[number] = row.timing
    return [Row(together(list(timings.values())), group, runs=timings) for (_, group), timings in parts.items()]
