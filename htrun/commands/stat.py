"""``hypertrace stat``: reports the durations of the spans in a trace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from htrun.commands.timing_arguments import (
    add_choice,
    add_report_form,
    add_undisturbed,
    add_window,
    output_report,
    span_query_of,
)
from htrun.commands.trace_arguments import add_trace, event_id, open_trace
from htrun.errors import HtrunError
from htrun.reports.missing_spans import no_spans
from htrun.reports.runs import events_with_progress, rows_of
from htrun.reports.timing import Report

if TYPE_CHECKING:
    import argparse

    from htrun.analysis.timing.disturbances import Disturbances
    from htrun.analysis.timing.query import SpanQuery
    from htrun.analysis.trace import Trace
    from htrun.reports.timing import Row

_MOST_OUTLIERS = 1000
"""The maximum number of outliers that are listed for one name."""


class StatCommand:
    """Report the durations of spans: medians with intervals, percentiles, outliers, modes and drift."""

    examples = """
A span extends from a begin event to the end event of the same name in the same thread (or with the same key, if the
events have one). A TOML file gives events their names and phases (htrun --events FILE, or hypertrace stat --events
FILE). If the trace contains a calibration, durations are corrected for the cost of events. To record a calibration, set
HYPERTRACE_CALIBRATE=1000 in the environment, which also selects htrun --timestamp ordered, or use hypertrace bench.

If the trace was recorded with htrun --sched, stat also reports for how long the threads ran, were preempted and waited
during spans.

examples:
  hypertrace stat trace
  hypertrace stat trace --by thread --span 'io*'
  hypertrace stat trace --between request reply --json -
  hypertrace stat trace --intervals --from 20ms --to 1.5
  hypertrace stat trace --undisturbed
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE, the selection of spans and the form of the report."""
        add_trace(parser)
        add_choice(parser)
        add_undisturbed(parser)
        add_window(parser)
        parser.add_argument(
            "--id",
            action="append",
            default=[],
            type=event_id,
            metavar="ID",
            help="only the span that begins or ends with the event that has this id; repeatable",
        )
        add_report_form(parser)
        parser.add_argument("--outliers", action="store_true", help="list outliers, with the ids of their end events")

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the figures; returns 0. Raises `HtrunError`, for example if the trace has no spans."""
        # Importing this at the top would import numpy for --help, too.
        from htrun.analysis.timing.disturbances import Disturbances

        wanted = replace(span_query_of(arguments), ids=tuple(arguments.id))
        trace = open_trace(arguments)
        timings = wanted.timings(trace, events_with_progress(trace))
        rows = rows_of(wanted, trace, timings.timings())
        disturbances = Disturbances.of(trace)
        if disturbances is not None:
            rows = _with_on_cpu(rows, wanted, trace, disturbances)
        if arguments.outliers:
            rows = _with_outliers(rows, wanted, trace, disturbances)
        facts = trace.environment
        report = Report(
            str(trace.path), facts, timings.step, timings.cost, rows, timings.unpaired, sum(trace.discarded)
        )
        if not rows:
            raise HtrunError(f"{trace.path} {no_spans(trace, timings.unpaired, need_names=wanted.needs_names)}")
        output_report(report, arguments)
        return 0


def _with_on_cpu(rows: list[Row], wanted: SpanQuery, trace: Trace, disturbances: Disturbances) -> list[Row]:
    """``rows`` with the processor time of their spans."""
    from htrun.analysis.timing.on_cpu import on_cpu_of

    found = on_cpu_of(wanted, trace, disturbances, [row.timing for row in rows])
    return [replace(row, on_cpu=found[row.timing.name, row.timing.group]) for row in rows]


def _with_outliers(rows: list[Row], wanted: SpanQuery, trace: Trace, disturbances: Disturbances | None) -> list[Row]:
    """``rows`` with the ids of the events that end an outlier, and the reasons that ``disturbances`` give. Finding
    these takes a second pass over the trace."""
    import numpy as np

    from htrun.reports.disturbances import reasons_of

    reasons: dict[int, str] = {}
    source = wanted.source(trace)
    choice, grouping = wanted.choice(trace, source), wanted.grouping(trace, source)
    found: dict[tuple[str, int | None], list[int]] = {(row.timing.name, row.timing.group): [] for row in rows}
    for events in trace.events():
        spans = source.feed(events)
        spans = spans[choice(spans) & source.names.are_own(spans)]
        durations = (spans["end"] - spans["begin"]).astype(np.float64)
        for row in rows:
            timing = row.timing
            _, low, high, _ = timing.raw.fences
            own = np.array([name == timing.name for name in source.names])[spans["name"]]
            if grouping is not None and timing.group is not None:
                own &= grouping(spans) == np.uint64(timing.group)
            # Times are whole nanoseconds, but durations are multiples of the clock's step. The two differ by less than
            # half a step.
            half = timing.step.ns / 2
            outside = own & ((durations < low - half) | (durations > high + half))
            numbers = found[timing.name, timing.group]
            first = spans[outside][: _MOST_OUTLIERS - len(numbers)]
            numbers += first["end_number"].tolist()
            if disturbances is not None:
                reasons |= reasons_of(first, disturbances.within(first))
    keys = [(row.timing.name, row.timing.group) for row in rows]
    return [replace(row, outliers=found[key], reasons=reasons) for row, key in zip(rows, keys, strict=True)]
