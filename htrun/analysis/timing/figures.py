"""Collects the durations of a trace's spans in one pass, and corrects them for the cost of the events themselves.

A span lasts from the timestamp of its begin to the timestamp of its end. So it contains the cost of one event, and the
cost of each further event that its thread emits in between. The cost of an event depends on the code around it (see
`Cost`). It is measured from the calibration pairs in the trace (`htrun.events.calibration`). If a thread has no
calibration pairs, those of the other threads are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from htrun.analysis.timing.codes import codes_of, in_order, starts_of
from htrun.analysis.timing.cost import CalibrationPairs, Cost
from htrun.analysis.timing.distribution import Distribution, Tally
from htrun.analysis.timing.inference import CONFIDENCE, Blocks, Interval, drift, median_interval, modes
from htrun.analysis.timing.probability import t_quantile
from htrun.analysis.timing.span_names import SpanNames
from htrun.errors import HtrunError
from htrun.events.records import chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.timing.clock_step import ClockStep
    from htrun.analysis.timing.spans import Spans, Unpaired
    from htrun.events.records import Events

    Grouping = Callable[[Spans], NDArray[np.uint64]]
    """A function that returns the group of each span, as a number."""
    Choice = Callable[[Spans], NDArray[np.bool_]]
    """A function that returns a mask of the selected spans."""

MOST_GROUPS = 10_000
PERCENTILES = {"p90": 0.9, "p99": 0.99, "p99_9": 0.999}
_BEYOND = 10
"""A percentile is reported only if at least this number of values lie beyond it."""
_MILD, _SEVERE = 1.5, 3.0
"""The distances of mild and severe outliers from the quartiles, in interquartile ranges (Tukey, Exploratory Data
Analysis, 1977, 2D)."""


class SpanSource(Protocol):
    """An object that finds spans, such as a `spans.Pairer`."""

    names: SpanNames

    def feed(self, events: Events) -> Spans:
        """Process the next ``events`` of the trace, and return the spans that end in them."""

    def finish(self) -> Mapping[str, Unpaired]:
        """The counts of begins and ends without a partner, by name."""


@dataclass(frozen=True)
class Figures:
    """Figures of durations, in ns.

    ``median``: the median, with its interval from sampling.
    ``percentiles``: the percentiles by name; None for a percentile beyond which there are too few values.
    ``modes``: the centres of the clusters of values; empty if there is only one cluster.
    ``reach``: the additional error that all figures may have because of the code around the events.
    ``resolved``: whether the median exceeds both a step of the clock and the error of the cost of events.
    """

    distribution: Distribution
    median: Interval
    percentiles: Mapping[str, float | None]
    modes: tuple[float, ...]
    reach: float
    resolved: bool

    @classmethod
    def of(cls, distribution: Distribution, step: ClockStep, error: float = 0.0, reach: float = 0.0) -> Figures:
        """The figures of ``distribution``.

        ``error``: half the width of the 95% interval of an error that all values have in common, in ns.
        ``reach``: the maximum common error of all values because of the code around the events, in ns.
        """
        interval = median_interval(distribution)
        if error:
            low = math.hypot(interval.value - interval.low, error)
            high = math.hypot(interval.high - interval.value, error)
            interval = Interval(interval.value, interval.value - low, interval.value + high)
        percentiles = {
            name: distribution.quantile(share) if distribution.count * (1 - share) >= _BEYOND - 1e-9 else None
            for name, share in PERCENTILES.items()
        }
        resolved = interval.value >= max(step.ns, 2 * (error + reach))
        return cls(distribution, interval, percentiles, modes(distribution, step.ns), reach, resolved)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The range that contains the true median: the 95% interval, extended by `reach` on both sides. None if there
        is only one value."""
        if self.distribution.count == 1:
            return None
        return self.median.low - self.reach, self.median.high + self.reach

    @property
    def modes_at_median(self) -> tuple[float, float] | None:
        """The two `modes` nearest to the median, if at least a quarter of the values is at each of them. The median of
        a similar run may then be at the other one. None if there are no such modes."""
        if len(self.modes) < 2:
            return None
        low, high = sorted(sorted(self.modes, key=lambda mode: abs(mode - self.median.value))[:2])
        first, third = self.distribution.quartiles
        return (low, high) if first < (low + high) / 2 < third else None

    @property
    def fences(self) -> tuple[float, float, float, float]:
        """The limits beyond which values are outliers, in ascending order: severe low, mild low, mild high, severe
        high."""
        first, third = self.distribution.quartiles
        spread = third - first
        return (
            first - _SEVERE * spread, first - _MILD * spread, third + _MILD * spread, third + _SEVERE * spread,
        )  # fmt: skip


@dataclass(frozen=True)
class Trapped:
    """Spans in which an event trapped (`first_events.FirstEvents`).

    ``count``: the number of these spans. ``total``: the sum of their durations in ns. ``included``: whether the other
    figures include these spans.
    """

    count: int = 0
    total: float = 0.0
    included: bool = False

    def __add__(self, other: Trapped) -> Trapped:
        return Trapped(self.count + other.count, self.total + other.total, self.included or other.included)


@dataclass(frozen=True)
class Timing:
    """The results for the spans of one name and one group.

    ``raw``, ``corrected``: the figures before and after the correction for the cost of events. ``corrected`` is None if
    the trace has no calibration.
    ``drift``: the increase of the durations from the first to the last span, in ns; None if there is no drift.
    ``mild``, ``severe``: the numbers of outliers.
    ``step``: the resolution of the clock.
    ``trapped``: the spans in which an event trapped.
    """

    name: str
    group: int | None
    raw: Figures
    corrected: Figures | None
    cost: Cost | None
    drift: float | None
    mild: int
    severe: int
    step: ClockStep
    trapped: Trapped = Trapped()

    @property
    def count(self) -> int:
        """The number of spans."""
        return self.raw.distribution.count


@dataclass
class Timings:
    """Collects the spans of a trace.

    ``step``: the resolution of the trace's clock.
    ``grouping``: divides the spans of each name into groups; None: a single group for each name.
    ``choice``: selects the spans; None: all spans.
    ``with_trapped``: whether the figures include spans in which an event trapped. If it is False, the figures of a name
    and group include such spans only if it has no other spans.
    """

    step: ClockStep
    grouping: Grouping | None = None
    choice: Choice | None = None
    with_trapped: bool = False
    unpaired: Mapping[str, Unpaired] = field(default_factory=dict)
    _names: SpanNames = field(default_factory=SpanNames)
    _tallies: dict[tuple[int, int, int], Tally] = field(default_factory=dict)
    _blocks: dict[tuple[int, int], Blocks] = field(default_factory=dict)
    _trapped: dict[tuple[int, int], Trapped] = field(default_factory=dict)
    _trapped_tallies: dict[tuple[int, int, int], Tally] = field(default_factory=dict)
    _pairs: dict[int, CalibrationPairs] = field(default_factory=dict)
    _costs: dict[int, Cost | None] = field(default_factory=dict)

    def collect(self, source: SpanSource, batches: Iterable[Events]) -> Timings:
        """Add all spans that ``source`` finds in ``batches``. Raises `HtrunError` if there are too many groups."""
        self._names = source.names
        for events in batches:
            spans = source.feed(events)
            if len(spans):
                self._add(spans)
        self.unpaired = source.finish()
        return self

    def _add(self, spans: Spans) -> None:
        own = self._names.are_own(spans)
        if not own.all():
            self._add_pairs(chosen(spans, ~own))
            spans = chosen(spans, own)
        if self.choice is not None:
            spans = chosen(spans, self.choice(spans))
        if len(spans):
            self._add_spans(spans)

    def _add_pairs(self, spans: Spans) -> None:
        for stream in np.unique(spans["begin_stream"]).tolist():
            own = spans[spans["begin_stream"] == stream]
            for sort, tally in enumerate(self._pairs.setdefault(stream, CalibrationPairs()).sorts):
                tally.add(self.step, own[own["name"] == self._names.of_pair(sort)])

    def _add_spans(self, spans: Spans) -> None:
        durations = self.step.counted(spans["end"] - spans["begin"])
        groups = np.zeros(len(spans), np.uint64) if self.grouping is None else self.grouping(spans)
        events = spans["steps"].astype(np.int64)
        order = in_order(codes_of(spans["name"], groups))
        names, groups, streams = spans["name"][order], groups[order], spans["begin_stream"][order]
        starts = starts_of(names, groups)
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            rows = order[start:end]
            key = (int(names[start]), int(groups[start]))
            trapped = spans["trapped"][rows]
            if trapped.any():
                more = Trapped(int(trapped.sum()), float(durations[rows[trapped]].sum()) * self.step.ns)
                self._trapped[key] = self._trapped.get(key, Trapped()) + more
            kept = np.ones(len(rows), np.bool_) if self.with_trapped else ~trapped
            self._blocks.setdefault(key, Blocks()).add(durations[rows[kept]].astype(np.float64))
            for stream in np.flatnonzero(np.bincount(streams[start:end])).tolist():
                here = streams[start:end] == stream
                for tallies, some in ((self._tallies, here & kept), (self._trapped_tallies, here & ~kept)):
                    own = rows[some]
                    if len(own):
                        tallies.setdefault((*key, stream), Tally()).add(durations[own], events[own])
        if len(self._blocks) > MOST_GROUPS:
            raise HtrunError(f"--by: more than {MOST_GROUPS:,} different values; group by something with fewer")

    @cached_property
    def cost(self) -> Cost | None:
        """The cost of an event over all threads that have pairs; None if there are too few."""
        return self._cost_of(self._pairs)

    def _cost_of(self, streams: Iterable[int]) -> Cost | None:
        some = [self._pairs[stream].distributions(self.step) for stream in streams]
        sorts = [[part for part in parts if part is not None] for parts in zip(*some, strict=True)]
        if not sorts:
            return None
        return Cost.of([Distribution.together(parts) if parts else None for parts in sorts], len(some))

    def cost_of(self, stream: int) -> Cost | None:
        """The cost of an event on the thread ``stream``: from the pairs of this thread if there are enough, otherwise
        from the pairs of all threads."""
        if stream not in self._costs:
            own = self._cost_of([stream]) if stream in self._pairs else None
            self._costs[stream] = own or self.cost
        return self._costs[stream]

    def timings(self) -> list[Timing]:
        """The results for all names and groups, sorted by the number of the name and then by group."""
        keys = sorted({key[:2] for key in (*self._tallies, *self._trapped_tallies)})
        return [self._timing(name, group) for name, group in keys]

    def _timing(self, name: int, group: int) -> Timing:
        tallies, trapped = self._tallies_of(name, group)
        raw, corrected, errors = [], [], []
        for stream, tally in tallies.items():
            durations, events, counts = tally.pairs()
            nanoseconds = durations * self.step.ns
            raw.append(Distribution.of(nanoseconds, counts, self.step.ns))
            cost = self.cost_of(stream)
            if cost is not None:
                corrected.append(Distribution.of(nanoseconds - events * cost.interval.value, counts, self.step.ns))
                typical = Distribution.of(events, counts).median
                errors.append((raw[-1].count, typical * cost.uncertainty, typical * cost.reach))
        figures = Figures.of(Distribution.together(raw), self.step)
        better, cost = None, None
        if corrected:
            weight = sum(count for count, _, _ in errors)
            error = sum(count * each for count, each, _ in errors) / weight
            reach = sum(count * each for count, _, each in errors) / weight
            better = Figures.of(Distribution.together(corrected), self.step, error, reach)
            cost = self.cost_of(next(iter(tallies))) if len(tallies) == 1 else self.cost
        severe_low, mild_low, mild_high, severe_high = figures.fences
        severe = figures.distribution.beyond(severe_low, severe_high)
        mild = figures.distribution.beyond(mild_low, mild_high) - severe
        moved = drift(self._blocks[name, group].medians * self.step.ns, self.step.ns)
        key = None if self.grouping is None else group
        return Timing(self._names[name], key, figures, better, cost, moved, mild, severe, self.step, trapped)

    def _tallies_of(self, name: int, group: int) -> tuple[dict[int, Tally], Trapped]:
        """The spans of one name and group that the figures include, by stream, and the spans in which an event
        trapped."""
        trapped = self._trapped.get((name, group), Trapped())
        for found, included in ((self._tallies, self.with_trapped), (self._trapped_tallies, True)):
            own = {key[2]: tally for key, tally in found.items() if key[:2] == (name, group)}
            if own:
                return own, replace(trapped, included=included)
        raise KeyError((name, group))


def together(timings: Sequence[Timing]) -> Timing:
    """Combine the spans of one name and group in several runs into one timing. `_of_runs` describes the interval of the
    median. The result has no drift."""
    if len(timings) == 1:
        return timings[0]
    first = timings[0]
    raw = _of_runs([timing.raw for timing in timings], first.step)
    some = [timing.corrected for timing in timings if timing.corrected is not None]
    corrected = _of_runs(some, first.step) if len(some) == len(timings) else None
    mild, severe = (sum(getattr(timing, kind) for timing in timings) for kind in ("mild", "severe"))
    trapped = sum((timing.trapped for timing in timings), Trapped())
    return Timing(first.name, first.group, raw, corrected, first.cost, None, mild, severe, first.step, trapped)


def _of_runs(runs: Sequence[Figures], step: ClockStep) -> Figures:
    """The figures of all ``runs`` together. Spans of the same run are more alike than spans of different runs. So the
    interval of the median is at least as wide as the interval of the runs' medians (Student's distribution)."""
    from statistics import stdev

    figures = Figures.of(Distribution.together([run.distribution for run in runs]), step)
    medians = [run.median.value for run in runs]
    half = t_quantile(0.5 + CONFIDENCE / 2, len(runs) - 1) * stdev(medians) / math.sqrt(len(runs))
    value = figures.median.value
    # The interval of each run includes the uncertainty of the calibration.
    own = sum((run.median.high - run.median.low) / 2 for run in runs) / len(runs) / math.sqrt(len(runs))
    half = max(half, own)
    interval = Interval(value, min(figures.median.low, value - half), max(figures.median.high, value + half))
    resolved = all(run.resolved for run in runs)
    reach = max(run.reach for run in runs)
    return Figures(figures.distribution, interval, figures.percentiles, figures.modes, reach, resolved)
