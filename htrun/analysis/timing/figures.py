"""How long the spans of a trace took: collected in one pass, then corrected for what the events themselves cost.

A span lasts from the time stamp of its begin to that of its end, and so contains the cost of one event, and of each
further event of its thread between. That cost is the median of the pairs with nothing between that the trace carries
(`htrun.events.calibration`); where a thread has none of its own, the other threads' count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from htrun.analysis.timing.distribution import Distribution, Tally
from htrun.analysis.timing.inference import CONFIDENCE, Blocks, Interval, drift, median_interval, modes
from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.analysis.timing.spans import Spans, Unpaired
    from htrun.events.records import Events

    Grouping = Callable[[Spans], NDArray[np.uint64]]
    """What each span is grouped by, as a number."""
    Choice = Callable[[Spans], NDArray[np.bool_]]
    """Which spans are wanted."""

MOST_GROUPS = 10_000
CALIBRATION_LEAST = 20
"""Pairs without which no cost is told."""
_WARM_UP = 2
"""Pairs of each thread that are left out: their sites trap, and code is fetched for the first time."""
PERCENTILES = {"p90": 0.9, "p99": 0.99, "p99_9": 0.999}
_BEYOND = 10
"""Values that must lie beyond a percentile for it to be told."""
_MILD, _SEVERE = 1.5, 3.0
"""Interquartile ranges beyond the quartiles (Tukey, Exploratory Data Analysis, 1977, 2D)."""


class Source(Protocol):
    """What finds spans: `spans.Pairer` and the like. The last of ``names`` is that of calibration."""

    names: tuple[str, ...]

    def feed(self, events: Events) -> Spans:
        """The spans that end with ``events``."""

    def finish(self) -> Mapping[str, Unpaired]:
        """What is left over, by name."""


@dataclass(frozen=True)
class ClockStep:
    """The clock's smallest step. ``ns``: nanoseconds; ``known``: whether the trace tells it (older ones do not)."""

    ns: float
    known: bool

    def counted(self, nanoseconds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Differences of times, in steps."""
        import numpy as np

        if self.ns == 1.0:
            return nanoseconds.astype(np.int64)
        steps: NDArray[np.int64] = np.rint(nanoseconds.astype(np.float64) / self.ns).astype(np.int64)
        return steps


def clock_step(environment: Mapping[str, str | int], frequency: int) -> ClockStep:
    """Of a trace with these facts, whose clock ticks with ``frequency`` Hz. Times are told in whole nanoseconds, so no
    step is finer."""
    ticks = environment.get("clock_step_ticks")
    if not isinstance(ticks, int) or ticks <= 0:
        return ClockStep(1.0, known=False)
    return ClockStep(max(ticks * 1e9 / frequency, 1.0), known=True)


@dataclass(frozen=True)
class Cost:
    """What an event costs, ns. ``pairs``: it was measured on; ``threads``: of those with pairs, how many."""

    interval: Interval
    pairs: int
    threads: int

    @property
    def uncertainty(self) -> float:
        """Half the 95% interval, ns."""
        return (self.interval.high - self.interval.low) / 2


@dataclass(frozen=True)
class Figures:
    """What is told of durations, ns. ``percentiles``: None where there are too few values; ``modes``: where most lie,
    if that is more than one place; ``resolved``: whether the median is more than a step of the clock and more than what
    the cost of the events may be wrong by."""

    distribution: Distribution
    median: Interval
    percentiles: Mapping[str, float | None]
    modes: tuple[float, ...]
    resolved: bool

    @classmethod
    def of(cls, distribution: Distribution, step: ClockStep, error: float = 0.0) -> Figures:
        """The figures of ``distribution``; ``error``: how much all of it may be off by, half a 95% interval in ns."""
        interval = median_interval(distribution)
        if error:
            low = math.hypot(interval.value - interval.low, error)
            high = math.hypot(interval.high - interval.value, error)
            interval = Interval(interval.value, interval.value - low, interval.value + high)
        percentiles = {
            name: distribution.quantile(share) if distribution.count * (1 - share) >= _BEYOND - 1e-9 else None
            for name, share in PERCENTILES.items()
        }
        resolved = interval.value >= max(step.ns, 2 * error)
        return cls(distribution, interval, percentiles, modes(distribution, step.ns), resolved)

    @property
    def fences(self) -> tuple[float, float, float, float]:
        """Where outliers begin: severe and mild below, mild and severe above."""
        first, third = self.distribution.quartiles
        spread = third - first
        return (
            first - _SEVERE * spread, first - _MILD * spread, third + _MILD * spread, third + _SEVERE * spread,
        )  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """Spans of one name, of one group.

    ``corrected``: None where the trace has no calibration; ``drift``: by how much durations rose from first to last,
    ns, None if they did not; ``mild``, ``severe``: how many outliers; ``step``: of the clock.
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

    @property
    def count(self) -> int:
        """How many spans."""
        return self.raw.distribution.count


@dataclass
class Timings:
    """Collects the spans of a trace. ``step``: of its clock; ``grouping``: what they are told by, beside their name;
    ``choice``: which are wanted."""

    step: ClockStep
    grouping: Grouping | None = None
    choice: Choice | None = None
    unpaired: Mapping[str, Unpaired] = field(default_factory=dict)
    _names: tuple[str, ...] = ()
    _tallies: dict[tuple[int, int, int], Tally] = field(default_factory=dict)
    _blocks: dict[tuple[int, int], Blocks] = field(default_factory=dict)
    _pairs: dict[int, Tally] = field(default_factory=dict)
    _costs: dict[int, Cost | None] = field(default_factory=dict)
    _pairs_seen: dict[int, int] = field(default_factory=dict)

    def collect(self, source: Source, batches: Iterable[Events]) -> Timings:
        """Take in all spans that ``source`` finds in ``batches``. Raises `HtrunError` for too many groups."""
        self._names = source.names
        for events in batches:
            spans = source.feed(events)
            if len(spans):
                self._add(spans)
        self.unpaired = source.finish()
        return self

    def _add(self, spans: Spans) -> None:
        pairs = spans["name"] == len(self._names) - 1
        self._add_pairs(spans[pairs])
        spans = spans[~pairs]
        if self.choice is not None:
            spans = spans[self.choice(spans)]
        if len(spans):
            self._add_spans(spans)

    def _add_pairs(self, spans: Spans) -> None:
        import numpy as np

        for stream in np.unique(spans["begin_stream"]).tolist():
            own = spans[spans["begin_stream"] == stream]
            seen = self._pairs_seen.get(stream, 0)
            self._pairs_seen[stream] = seen + len(own)
            own = own[max(_WARM_UP - seen, 0) :]
            tally = self._pairs.setdefault(stream, Tally())
            # Something else came between: a signal's handler, say.
            own = own[own["steps"] == 1]
            tally.add(self.step.counted(own["end"] - own["begin"]), own["steps"].astype(np.int64))

    def _add_spans(self, spans: Spans) -> None:
        import numpy as np

        durations = self.step.counted(spans["end"] - spans["begin"])
        groups = np.zeros(len(spans), np.uint64) if self.grouping is None else self.grouping(spans)
        events = spans["steps"].astype(np.int64)
        order = np.lexsort((groups, spans["name"]))
        names, groups, streams = spans["name"][order], groups[order], spans["begin_stream"][order]
        starts = np.flatnonzero(np.concatenate([[True], (names[1:] != names[:-1]) | (groups[1:] != groups[:-1])]))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            rows = order[start:end]
            key = (int(names[start]), int(groups[start]))
            self._blocks.setdefault(key, Blocks()).add(durations[rows].astype(np.float64))
            for stream in np.unique(streams[start:end]).tolist():
                own = rows[streams[start:end] == stream]
                self._tallies.setdefault((*key, stream), Tally()).add(durations[own], events[own])
        if len(self._blocks) > MOST_GROUPS:
            raise HtrunError(f"--by: more than {MOST_GROUPS:,} different values; group by something with fewer")

    @cached_property
    def cost(self) -> Cost | None:
        """What an event costs, over all threads that have pairs; None if too few are there."""
        return self._cost_of(list(self._pairs))

    def _cost_of(self, streams: Sequence[int]) -> Cost | None:
        parts = [self._distribution(self._pairs[stream]) for stream in streams]
        some = [part for part in parts if part is not None]
        if sum(part.count for part in some) < CALIBRATION_LEAST:
            return None
        together = Distribution.together(some)
        return Cost(median_interval(together), together.count, len(some))

    def _distribution(self, tally: Tally) -> Distribution | None:
        durations, _, counts = tally.pairs()
        return Distribution.of(durations * self.step.ns, counts) if len(counts) else None

    def cost_of(self, stream: int) -> Cost | None:
        """What an event costs on the thread ``stream``: by its own pairs if it has enough, else by all."""
        if stream not in self._costs:
            own = self._cost_of([stream]) if stream in self._pairs else None
            self._costs[stream] = own or self.cost
        return self._costs[stream]

    def timings(self) -> list[Timing]:
        """All that was collected, by name in the order of their definition and by group."""
        keys = sorted({key[:2] for key in self._tallies})
        return [self._timing(name, group) for name, group in keys]

    def _timing(self, name: int, group: int) -> Timing:
        tallies = {key[2]: tally for key, tally in self._tallies.items() if key[:2] == (name, group)}
        raw, corrected, errors = [], [], []
        for stream, tally in tallies.items():
            durations, events, counts = tally.pairs()
            nanoseconds = durations * self.step.ns
            raw.append(Distribution.of(nanoseconds, counts))
            cost = self.cost_of(stream)
            if cost is not None:
                corrected.append(Distribution.of(nanoseconds - events * cost.interval.value, counts))
                typical = Distribution.of(events, counts).median
                errors.append((raw[-1].count, typical * cost.uncertainty))
        figures = Figures.of(Distribution.together(raw), self.step)
        better, cost = None, None
        if corrected:
            weight = sum(count for count, _ in errors)
            error = sum(count * each for count, each in errors) / weight
            better = Figures.of(Distribution.together(corrected), self.step, error)
            cost = self.cost_of(next(iter(tallies))) if len(tallies) == 1 else self.cost
        severe_low, mild_low, mild_high, severe_high = figures.fences
        severe = figures.distribution.beyond(severe_low, severe_high)
        mild = figures.distribution.beyond(mild_low, mild_high) - severe
        moved = drift(self._blocks[name, group].medians * self.step.ns, self.step.ns)
        told_by = None if self.grouping is None else group
        return Timing(self._names[name], told_by, figures, better, cost, moved, mild, severe, self.step)


def together(timings: Sequence[Timing]) -> Timing:
    """The spans of one name in several runs as one; see `_of_runs` for the median's interval. A drift is one of runs:
    what each does within itself is left out."""
    if len(timings) == 1:
        return timings[0]
    first = timings[0]
    raw = _of_runs([timing.raw for timing in timings], first.step)
    some = [timing.corrected for timing in timings if timing.corrected is not None]
    corrected = _of_runs(some, first.step) if len(some) == len(timings) else None
    mild, severe = (sum(getattr(timing, kind) for timing in timings) for kind in ("mild", "severe"))
    return Timing(first.name, first.group, raw, corrected, first.cost, None, mild, severe, first.step)


def _of_runs(runs: Sequence[Figures], step: ClockStep) -> Figures:
    """All of ``runs`` as one. Spans of one run are more alike than those of two, so the median's interval is that of
    the runs' medians (Student's law) where it is wider."""
    from statistics import stdev

    from scipy.stats import t

    figures = Figures.of(Distribution.together([run.distribution for run in runs]), step)
    medians = [run.median.value for run in runs]
    reach = float(t.ppf(0.5 + CONFIDENCE / 2, len(runs) - 1)) * stdev(medians) / math.sqrt(len(runs))
    value = figures.median.value
    # What calibration leaves uncertain is in each run's own interval.
    own = sum((run.median.high - run.median.low) / 2 for run in runs) / len(runs) / math.sqrt(len(runs))
    reach = max(reach, own)
    interval = Interval(value, min(figures.median.low, value - reach), max(figures.median.high, value + reach))
    resolved = all(run.resolved for run in runs)
    return Figures(figures.distribution, interval, figures.percentiles, figures.modes, resolved)
