"""The figures of `hypertrace top`: the numbers and rates of events by name and by thread, and the durations of
spans."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.spans import Pairer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from htrun.ctf.following import Follower
    from htrun.events.named import NamedEvents
    from htrun.events.records import Events
    from htrun.events.shapes import Shapes

LATEST = 40
"""The number of latest events that are kept. Few screens have more lines."""
_DURATIONS = 4096
"""The number of latest durations of each name from which percentiles are computed."""
_WINDOW = 3.0
"""The approximate time in seconds over which a rate is averaged."""
_HISTORY = 120
"""The number of past rates that are kept."""


@dataclass
class SpanFigures:
    """The figures of the spans of one name. ``total``, ``least``, ``most``: the sum, minimum and maximum of their
    durations, in ns. ``latest``: the durations of the last few thousand spans, in ns."""

    count: int
    total: int
    least: int
    most: int
    latest: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """The mean duration of all spans."""
        return self.total / self.count

    def percentile(self, part: float) -> float:
        """A percentile of the durations of the latest spans. ``part``: the percentage, from 0 to 100."""
        return float(np.percentile(self.latest, part))

    def add(self, durations: NDArray[np.int64]) -> None:
        """Add ``durations``, of which there must be at least one."""
        self.count += len(durations)
        self.total += int(durations.sum())
        self.least = min(self.least, int(durations.min()))
        self.most = max(self.most, int(durations.max()))
        self.latest = np.concatenate([self.latest, durations[-_DURATIONS:]])[-_DURATIONS:]


@dataclass
class Rates:
    """The rates of counts over the last few seconds, by key. ``moments``: the times in seconds at which counts were
    noted, and the counts at these times.
    """

    moments: deque[tuple[float, Mapping[object, int]]] = field(default_factory=deque)

    def note(self, now: float, counts: Mapping[object, int]) -> None:
        """Note the ``counts`` at the time ``now``, in seconds."""
        self.moments.append((now, dict(counts)))
        while len(self.moments) > 2 and self.moments[1][0] < now - _WINDOW:
            self.moments.popleft()

    def of(self, key: object) -> float:
        """The number of events per second for ``key``; 0 until counts have been noted twice."""
        if len(self.moments) < 2:
            return 0.0
        (begin, before), (end, after) = self.moments[0], self.moments[-1]
        return (after.get(key, 0) - before.get(key, 0)) / max(end - begin, 1e-9)


class LiveFigures:
    """Counts events. ``keep``: the number of latest events that are kept."""

    def __init__(self, shapes: Shapes, names: NamedEvents | None, keep: int = 0) -> None:
        self.events = 0
        self.first: int | None = None
        """The time of the first event in ns since the epoch. `last` is the time of the last event."""
        self.last: int | None = None
        self.threads: Counter[int] = Counter()
        """The number of events by the number of the stream; `names` has the number of events by name."""
        self.names: Counter[str] = Counter()
        self.spans: dict[str, SpanFigures] = {}
        self.latest: list[Events] = []
        """Batches of the latest events, in order of time."""
        self._shapes = shapes
        self._pairer = Pairer(names)
        self._keep = keep

    @property
    def seconds(self) -> float:
        """The time from the first event to the last, in seconds."""
        return 0.0 if self.first is None or self.last is None else max(self.last - self.first, 0) / 1e9

    @property
    def open(self) -> int:
        """The number of spans that have begun but not ended."""
        return int(self._pairer.names.are_own(self._pairer.open).sum())

    def add(self, events: Events) -> None:
        """Count the next ``events`` of the trace. There must be at least one."""
        self.events += len(events)
        self.first = int(events["time"][0]) if self.first is None else min(self.first, int(events["time"][0]))
        self.last = max(self.last or 0, int(events["time"][-1]))
        streams, counts = np.unique(events["stream"], return_counts=True)
        self.threads.update(dict(zip(streams.tolist(), counts.tolist(), strict=True)))
        for shape, rows in self._shapes.split(events):
            self.names[shape.title] += len(range(len(events))[rows]) if isinstance(rows, slice) else len(rows)
        self._add_spans(events)
        if self._keep:
            self._remember(events)

    def _add_spans(self, events: Events) -> None:
        spans = self._pairer.feed(events)
        spans = spans[self._pairer.names.are_own(spans)]
        # The clock is corrected during a run, so the end of a short span may seem to be earlier than its begin.
        taken = np.maximum(spans["end"].astype(np.int64) - spans["begin"].astype(np.int64), 0)
        for place in np.unique(spans["name"]).tolist():
            name, own = self._pairer.names[place], taken[spans["name"] == place]
            if name not in self.spans:
                self.spans[name] = SpanFigures(0, 0, int(own[0]), 0, own[:0])
            self.spans[name].add(own)

    def _remember(self, events: Events) -> None:
        self.latest.append(events[-self._keep :].copy())
        while sum(map(len, self.latest[1:])) >= self._keep:
            del self.latest[0]


class LiveTrace:
    """The trace that ``follower`` reads. ``figures``: the figures of the events read so far; None until the first
    event."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.figures: LiveFigures | None = None

    def read(self) -> None:
        """Read the events that have been written since the last call."""
        for events in self.follower.poll():
            if self.figures is None:
                assert self.follower.shapes is not None
                self.figures = LiveFigures(self.follower.shapes, self.follower.names, LATEST)
            self.figures.add(events)

    def counts(self) -> dict[object, int]:
        """The counts from which rates are computed: for all events (key None), for each name and for each thread."""
        figures = self.figures
        if figures is None:
            return {None: 0}
        counts: dict[object, int] = {None: figures.events}
        counts |= {("name", name): count for name, count in figures.names.items()}
        counts |= {("thread", number): count for number, count in figures.threads.items()}
        return counts


@dataclass
class Sparks:
    """The latest rates in events per second, which are shown as a line of bars."""

    rates: deque[float] = field(default_factory=lambda: deque(maxlen=_HISTORY))

    def text(self, width: int) -> str:
        """The latest rates as at most ``width`` bars, from empty to full."""
        shown: Sequence[float] = list(self.rates)[-width:]
        most = max(shown, default=0.0) or 1.0
        return "".join(_BARS[min(int(rate / most * len(_BARS)), len(_BARS) - 1)] for rate in shown)


_BARS = " ▁▂▃▄▅▆▇█"
