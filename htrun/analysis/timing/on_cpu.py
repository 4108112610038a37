"""Sums up what disturbed the spans of each name and group, and finds the reasons for single spans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.codes import codes_of, in_order, starts_of
from htrun.analysis.timing.distribution import Distribution, Tally
from htrun.analysis.timing.disturbances import DISTURBANCE, Disturbances, are_disturbed
from htrun.events.records import chosen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from htrun.analysis.timing.disturbances import Found
    from htrun.analysis.timing.figures import Timing
    from htrun.analysis.timing.query import SpanQuery
    from htrun.analysis.timing.spans import Spans
    from htrun.analysis.trace import Trace

_SUMS = tuple(name for name in DISTURBANCE.names or () if name != "known")


@dataclass
class OnCpu:
    """The processor time of the spans of one name and group.

    ``disturbed``: the number of spans that were disturbed. ``unknown``: the number of further spans of which this is
    unknown; they do not count otherwise. ``wall``: the sum of the durations in ns. ``sums``: the sums of the fields of
    `DISTURBANCE`.
    """

    disturbed: int = 0
    unknown: int = 0
    wall: int = 0
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0))
    _tally: Tally = field(default_factory=Tally)

    def add(self, spans: Spans, found: Found) -> None:
        """Add ``spans``. ``found``: what disturbed them."""
        known = found["known"]
        self.unknown += int((~known).sum())
        self.disturbed += int((are_disturbed(spans, found) & known).sum())
        spans, found = spans[known], found[known]
        durations = (spans["end"] - spans["begin"]).astype(np.int64)
        self.wall += int(durations.sum())
        for name in _SUMS:
            self.sums[name] += int(found[name].sum())
        if len(spans):
            self._tally.add(durations - found["off"], np.ones(len(spans), np.int64))

    @property
    def distribution(self) -> Distribution | None:
        """The processor times of the spans, in ns; None if they are unknown for all spans."""
        durations, _, counts = self._tally.pairs()
        return Distribution.of(durations, counts) if len(durations) else None

    @property
    def waiting(self) -> int:
        """The time in ns for which the threads waited."""
        return self.sums["off"] - self.sums["preempted"]


def on_cpu_of(
    wanted: SpanQuery, trace: Trace, disturbances: Disturbances, timings: Iterable[Timing]
) -> Mapping[tuple[str, int | None], OnCpu]:
    """The processor time of the spans of each of ``timings``, by name and group. This reads ``trace`` again. Raises
    `HtrunError`."""
    included = {(timing.name, timing.group): timing.trapped.included for timing in timings}
    found = {key: OnCpu() for key in included}
    source = wanted.source(trace)
    choice, grouping = wanted.choice(trace, source), wanted.grouping(trace, source)
    for events in trace.events():
        spans = source.feed(events)
        spans = chosen(spans, source.names.are_own(spans))
        spans = chosen(spans, choice(spans)) if len(spans) else spans
        if not len(spans):
            continue
        groups = np.zeros(len(spans), np.uint64) if grouping is None else grouping(spans)
        order = in_order(codes_of(spans["name"], groups))
        spans, groups = spans[order], groups[order]
        starts = starts_of(spans["name"], groups).tolist()
        for start, end in zip(starts, [*starts[1:], len(spans)], strict=True):
            key = source.names[spans["name"][start]], None if grouping is None else int(groups[start])
            own = spans[start:end]
            own = own if included[key] else own[~own["trapped"]]
            found[key].add(own, disturbances.within(own))
    return found
