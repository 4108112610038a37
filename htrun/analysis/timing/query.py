"""The query that the timing commands share. It selects spans of a trace and groups them."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.event_ids import begins_in
from htrun.analysis.timing.clock_step import clock_step
from htrun.analysis.timing.disturbances import Disturbances, are_disturbed
from htrun.analysis.timing.figures import Timings
from htrun.analysis.timing.first_events import FirstEvents
from htrun.analysis.timing.intervals import Intervals
from htrun.analysis.timing.span_events import Region
from htrun.analysis.timing.spans import Pairer
from htrun.analysis.window_query import UNLIMITED, WindowQuery
from htrun.errors import HtrunError
from htrun.events.named import Phase
from htrun.events.window import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from htrun.analysis.timing.figures import Grouping, SpanSource, Timing
    from htrun.analysis.timing.spans import Spans
    from htrun.analysis.trace import Trace
    from htrun.events.arguments import Argument
    from htrun.events.records import Events

_THREAD_FIELDS = {"thread": "tid", "process": "pid", "cpu": "vcpu", "vcpu": "vcpu"}


@dataclass(frozen=True)
class SpanQuery:
    """Selects the spans of a trace that are timed, and groups them.

    ``patterns``: patterns of names; empty for all names.
    ``between``: the user's names of two events. The time between these events is measured instead of spans.
    ``intervals``: whether the time from each event to the next event with the same name is measured instead of spans.
    ``by``: the value by which spans are grouped; None for no groups within a name.
    ``warm``: whether `choice` leaves out spans in which an event trapped.
    ``with_trapped``: whether the figures of `timings` include spans in which an event trapped.
    ``window``: the times and threads in which spans must begin.
    ``undisturbed``: whether `choice` leaves out spans that were disturbed (`disturbances.are_disturbed`).
    ``ids``: the ids of spans, or of the events that end them; empty for all spans.
    """

    patterns: tuple[str, ...] = ()
    between: tuple[str, str] | None = None
    intervals: bool = False
    by: str | None = None
    warm: bool = False
    with_trapped: bool = False
    window: WindowQuery = UNLIMITED
    undisturbed: bool = False
    ids: tuple[int, ...] = ()

    @property
    def needs_names(self) -> bool:
        """Whether only named events can be timed."""
        return self.between is None and not self.intervals

    def source(self, trace: Trace) -> SpanSource:
        """The object that finds the spans in ``trace``. Raises `HtrunError`."""
        trapped = FirstEvents([stream.pid for stream in trace.streams])
        carried = 0 if self.by is None or self.by in _THREAD_FIELDS else trace.num_args
        if self.intervals:
            return Intervals(trace.shapes, trace.losses, num_args=carried, first_events=trapped)
        region = None if self.between is None else _region(trace, *self.between)
        return Pairer(trace.names, trace.losses, num_args=carried, region=region, first_events=trapped)

    def timings(self, trace: Trace, batches: Iterable[Events]) -> Timings:
        """The timings of ``batches``, which contain the events of ``trace``. Raises `HtrunError`."""
        step = clock_step(trace.environment, trace.clock_frequency)
        source = self.source(trace)
        with_trapped = self.with_trapped or bool(self.ids)
        timings = Timings(step, self.grouping(trace, source), self.choice(trace, source), with_trapped)
        return timings.collect(source, batches)

    def choice(self, trace: Trace, source: SpanSource) -> Callable[[Spans], NDArray[np.bool_]]:
        """A function that selects among the spans that ``source`` finds in ``trace``. Raises `HtrunError`."""
        if self.patterns and not any(self._names(name) for name in source.names.own):
            raise HtrunError(f"{trace.path} has no spans called {' or '.join(map(repr, self.patterns))}")
        names = np.array([self._names(name) for name in source.names])
        window = self.window.window(trace)
        disturbances = self._disturbances(trace)

        def wanted(spans: Spans) -> NDArray[np.bool_]:
            chosen: NDArray[np.bool_] = names[spans["name"]]
            if window != EVERYTHING:
                chosen &= begins_in(spans, window)
            if self.warm:
                chosen &= ~spans["trapped"]
            if disturbances is not None:
                chosen &= ~are_disturbed(spans, disturbances.within(spans))
            if self.ids:
                ids = np.array(self.ids, np.uint64)
                chosen &= np.isin(spans["begin_number"], ids) | np.isin(spans["end_number"], ids)
            return chosen

        return wanted

    def _disturbances(self, trace: Trace) -> Disturbances | None:
        """The disturbances of ``trace``, if they are needed. Raises `HtrunError`."""
        if not self.undisturbed:
            return None
        found = Disturbances.of(trace)
        if found is None:
            raise HtrunError(f"--undisturbed: {trace.path} has no context switches; record it with htrun --sched")
        return found

    def _names(self, name: str) -> bool:
        return not self.patterns or any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def grouping(self, trace: Trace, source: SpanSource) -> Grouping | None:
        """A function that returns the number of each span's group; None if spans are grouped by name only.

        Raises `HtrunError`.
        """
        if self.by is None:
            return None
        if self.by in _THREAD_FIELDS:
            numbers = np.array([getattr(stream, _THREAD_FIELDS[self.by]) for stream in trace.streams], np.uint64)
            return lambda spans: numbers[spans["begin_stream"]]
        places = _places(trace, source, self.by)

        def values(spans: Spans) -> NDArray[np.uint64]:
            found = np.zeros(len(spans), np.uint64)
            for name, (field, place) in places.items():
                own = spans["name"] == name
                found[own] = spans[field][own, place]
            return found

        return values

    def label(self, trace: Trace, timing: Timing) -> str | None:
        """The text that describes the group of ``timing``, a timing of ``trace``; None without grouping."""
        if self.by is None or timing.group is None:
            return None
        if self.by == "thread":
            comm = next((stream.comm for stream in trace.streams if stream.tid == timing.group), "")
            return f"{comm}:{timing.group}"
        argument = next((each for each in _arguments(trace, timing.name) if each.name == self.by), None)
        return f"{self.by} {timing.group if argument is None else argument.text(timing.group)}"


def _arguments(trace: Trace, name: str) -> list[Argument]:
    """The arguments of the named events called ``name``."""
    events = () if trace.names is None else trace.names.events
    return [argument for event in events if event.name == name for argument in event.arguments]


def _places(trace: Trace, source: SpanSource, by: str) -> dict[int, tuple[str, int]]:
    """For each name of spans, the event with an argument called ``by``, and the index of this argument.

    Raises `HtrunError`.
    """
    if by.startswith("arg") and by[3:].isdecimal():
        if not 1 <= int(by[3:]) <= trace.num_args:
            raise HtrunError(f"--by {by}: events of {trace.path} have arg1 to arg{trace.num_args}")
        return {name: ("begin_args", int(by[3:]) - 1) for name in range(len(source.names))}
    found: dict[int, tuple[str, int]] = {}
    fields = {Phase.END: "end_args", Phase.BEGIN: "begin_args"}
    # Begins come last: if both the begin and the end have the argument, the value of the begin is used.
    events = sorted(() if trace.names is None else trace.names.events, key=lambda event: event.phase is Phase.BEGIN)
    for event in events:
        names = [argument.name for argument in event.arguments]
        if by in names and event.name in source.names.own:
            field = fields.get(event.phase, "begin_args")
            found[source.names.own.index(event.name)] = (field, names.index(by) + 1)
    if not found:
        raise HtrunError(f"--by {by}: it must be thread, process, vcpu, argN or an argument of a span's events")
    return found


def _region(trace: Trace, first: str, last: str) -> Region:
    """The region between two events of ``trace``. ``first``, ``last``: the user's names of these events. Raises
    `HtrunError`."""
    begin, end = _id_of(trace, first, 1), _id_of(trace, last, -1)
    if begin == end:
        raise HtrunError(f"--between {first} {last}: the same event twice; try --intervals")
    return Region(f"{first}..{last}", begin, end)


def _id_of(trace: Trace, word: str, sign: int) -> int:
    """The value of ``arg1`` that ``word`` stands for. ``sign``: 1 if a begin is expected, -1 if an end is expected."""
    try:
        return int(word, 0)
    except ValueError:
        pass
    name, _, phase = word.rpartition(":")
    phases = [Phase(phase)] if phase in ("begin", "end") and name else [Phase.BEGIN, Phase.END][::sign]
    name = name if phase in ("begin", "end") and name else word
    events = [event for event in (() if trace.names is None else trace.names.events) if event.name == name]
    for wanted in (*phases, Phase.INSTANT, Phase.COUNTER):
        for event in events:
            if event.phase is wanted:
                return event.id
    raise HtrunError(f"--between: {trace.path} has no event {word!r}; give the name of one, or a value of arg1")
