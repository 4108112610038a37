"""Single runs, for comparisons, and in JSON documents, which `htrun.reports.saved_runs` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from htrun.analysis.timing.doubts import environment_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.analysis.timing.comparison import Run

OF_RUNS = "runs"
"""The JSON key of the figures of single runs of a span."""


class RunOfSpans(Protocol):
    """One run, with the properties that a comparison needs."""

    @property
    def facts(self) -> Mapping[str, str | int]:
        """The facts of the run's environment."""

    @property
    def lost(self) -> int:
        """The number of lost events of the run."""

    @property
    def missing(self) -> str:
        """The reason why the run has no spans; empty if it has spans."""

    @property
    def remarks(self) -> Sequence[str]:
        """The differences of the run from other runs of its side."""

    @property
    def is_corrected(self) -> bool:
        """Whether all spans of the run are corrected for the cost of events."""

    def spans(self, *, corrected: bool) -> Mapping[str, Run]:
        """The spans of the run by name and group. ``corrected``: whether they are corrected for the cost of events."""


def side_as_json(runs: Sequence[RunOfSpans]) -> dict[str, Any]:
    """One side of a comparison: its ``runs``, of which there must be at least one."""
    return {
        "environment": environment_of(runs[0].facts),
        "lost": sum(run.lost for run in runs),
        "spans": [{"name": name, OF_RUNS: each} for name, each in spans_as_json(runs).items()],
    }


def spans_as_json(runs: Sequence[RunOfSpans]) -> Mapping[str, list[dict[str, Any]]]:
    """For each name of spans, those of ``runs`` that have such spans."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number, run in enumerate(runs, 1):
        corrected = run.spans(corrected=True)
        for name, raw in run.spans(corrected=False).items():
            found.setdefault(name, []).append(run_as_json(number, raw, corrected.get(name)))
    return found


def run_as_json(number: int, raw: Run, corrected: Run | None) -> dict[str, Any]:
    """The spans of one name in the run with this ``number``."""
    better = None if corrected is None else _median(corrected)
    block = {"block": raw.block} if raw.block else {}
    return {"run": number, "count": raw.count, "raw": _median(raw), "corrected": better, **block}


def _median(run: Run) -> dict[str, Any]:
    ends = {"median": run.median.value, "low": run.median.low, "high": run.median.high}
    return {**ends, "reach": run.reach, "apart": run.apart, "resolved": run.resolved}
