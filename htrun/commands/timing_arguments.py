"""Arguments that verbs about time share: which spans, by what, and how to tell."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from htrun.commands.trace_arguments import moment
from htrun.errors import HtrunError
from htrun.reports.exports import add_exports, export
from htrun.reports.output import warn
from htrun.reports.progress import with_progress
from htrun.reports.timing import Report, Row, as_csv, as_json, as_markdown, as_pyperf, text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from htrun.analysis.timing.figures import Grouping, Source, Timing, Timings
    from htrun.analysis.timing.spans import Region, Spans
    from htrun.analysis.trace import Trace
    from htrun.events.arguments import Argument
    from htrun.events.records import Events

_FORMS: dict[str, Callable[[Report], str]] = {
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
    "pyperf": as_pyperf,
}
_THREAD_FIELDS = {"thread": "tid", "process": "pid", "cpu": "vcpu", "vcpu": "vcpu"}


def add_choice(parser: argparse.ArgumentParser) -> None:
    """What to time: spans, intervals or a region, and which of them."""
    group = parser.add_argument_group("what is timed")
    group.add_argument(
        "--span", action="append", default=[], metavar="PATTERN", help="spans whose name matches; repeatable"
    )
    group.add_argument(
        "--between",
        nargs=2,
        metavar=("A", "B"),
        help="from each event A to the thread's next B, instead of spans: NAME, NAME:begin, NAME:end, or an arg1",
    )
    group.add_argument("--intervals", action="store_true", help="from each event to the thread's next of the same name")
    group.add_argument(
        "--by",
        metavar="WHAT",
        help="report separately by thread, process, vcpu, an argument (arg2) or a named argument of the events",
    )
    group.add_argument(
        "--warm",
        action="store_true",
        help="leave out spans in which an event trapped because it was the first of its call site or of its thread",
    )


def add_window(parser: argparse.ArgumentParser) -> None:
    """When and where spans begin."""
    group = parser.add_argument_group("which of them")
    group.add_argument(
        "--from", dest="begin", metavar="TIME", help="that begin at this time or later (1.5, 20ms, 14:05:00)"
    )
    group.add_argument("--to", dest="end", metavar="TIME", help="that begin before this time")
    group.add_argument("--thread", action="append", default=[], metavar="THREAD", help="of this thread; repeatable")
    group.add_argument(
        "--process", action="append", default=[], type=int, metavar="PID", help="of this process; repeatable"
    )


def add_telling(parser: argparse.ArgumentParser) -> None:
    """How a report is told."""
    add_exports(parser).add_argument("--no-histograms", action="store_true", help="print only the tables")


def tell(report: Report, arguments: argparse.Namespace) -> None:
    """Print ``report``, or write what is asked for. Warnings go to standard error. Raises `HtrunError`."""
    for line in report.warnings:
        warn(line)
    forms = {name: partial(form, report) for name, form in _FORMS.items()}
    export(forms, arguments, lambda: text(report, histograms=not arguments.no_histograms))


@dataclass(frozen=True)
class Wanted:
    """What is timed: see `add_choice`."""

    patterns: tuple[str, ...] = ()
    between: tuple[str, str] | None = None
    intervals: bool = False
    by: str | None = None
    warm: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Wanted:
        """As ``arguments`` say. Raises `HtrunError` if they contradict each other."""
        between = None if arguments.between is None else tuple(arguments.between)
        if between is not None and arguments.intervals:
            raise HtrunError("--between and --intervals: give one of them")
        return cls(tuple(arguments.span), between, arguments.intervals, arguments.by, arguments.warm)

    @property
    def needs_names(self) -> bool:
        """Whether only events with names can be what is timed."""
        return self.between is None and not self.intervals

    def source(self, trace: Trace) -> Source:
        """What finds them in ``trace``. Raises `HtrunError`."""
        from htrun.analysis.timing.first_events import FirstEvents
        from htrun.analysis.timing.spans import Intervals, Pairer

        trapped = FirstEvents([stream.pid for stream in trace.streams])
        carried = 0 if self.by is None or self.by in _THREAD_FIELDS else trace.num_args
        if self.intervals:
            return Intervals(trace.shapes, trace.losses, num_args=carried, first_events=trapped)
        region = None if self.between is None else _region(trace, *self.between)
        return Pairer(trace.names, trace.losses, num_args=carried, region=region, first_events=trapped)

    def timings(
        self, trace: Trace, window: argparse.Namespace | None = None, batches: Iterable[Events] | None = None
    ) -> Timings:
        """The timings of ``trace``. ``window``: arguments of `add_window`; ``batches``: of its events, if not all.
        Raises `HtrunError`."""
        from htrun.analysis.timing.clock_step import clock_step
        from htrun.analysis.timing.figures import Timings

        step = clock_step(trace.environment, trace.clock_frequency)
        source = self.source(trace)
        if self.patterns and not any(self._names(name) for name in source.names[: source.told]):
            raise HtrunError(f"{trace.path} has no spans called {' or '.join(map(repr, self.patterns))}")
        timings = Timings(step, self.grouping(trace, source), self.choice(trace, source, window))
        if batches is None:
            batches = with_progress(trace.events(), len(trace), "pairing")
        return timings.collect(source, batches)

    def choice(
        self, trace: Trace, source: Source, window: argparse.Namespace | None
    ) -> Callable[[Spans], NDArray[np.bool_]]:
        """Which spans are wanted, of those that ``source`` finds in ``trace``. Raises `HtrunError`."""
        import numpy as np

        from htrun.analysis.filters import thread_numbers

        names = np.array([self._names(name) for name in source.names])
        begin, end, streams = 0, 2**64 - 1, None
        if window is not None:
            begin = begin if window.begin is None else moment(window.begin, trace.duration)
            end = end if window.end is None else moment(window.end, trace.duration)
            streams = thread_numbers(trace, window.thread, window.process)

        def wanted(spans: Spans) -> NDArray[np.bool_]:
            chosen: NDArray[np.bool_] = names[spans["name"]]
            chosen &= (spans["begin"] >= np.uint64(begin)) & (spans["begin"] < np.uint64(end))
            if self.warm:
                chosen &= ~spans["trapped"]
            if streams is not None:
                chosen &= np.isin(spans["begin_stream"], list(streams))
            return chosen

        return wanted

    def rows(self, trace: Trace, timings: Iterable[Timing]) -> list[Row]:
        """``timings`` with their groups in words."""
        return [Row(timing, None if timing.group is None else self._label(trace, timing)) for timing in timings]

    def _names(self, name: str) -> bool:
        return not self.patterns or any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def grouping(self, trace: Trace, source: Source) -> Grouping | None:
        """What spans are told by, as a number; None if by their name only. Raises `HtrunError`."""
        import numpy as np

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

    def _label(self, trace: Trace, timing: Timing) -> str:
        assert self.by is not None
        assert timing.group is not None
        if self.by == "thread":
            comm = next((stream.comm for stream in trace.streams if stream.tid == timing.group), "")
            return f"{comm}:{timing.group}"
        argument = next((each for each in _arguments(trace, timing.name) if each.name == self.by), None)
        return f"{self.by} {timing.group if argument is None else argument.text(timing.group)}"


def _arguments(trace: Trace, name: str) -> list[Argument]:
    """The arguments of the named events called ``name``."""
    events = () if trace.names is None else trace.names.events
    return [argument for event in events if event.name == name for argument in event.arguments]


def _places(trace: Trace, source: Source, by: str) -> dict[int, tuple[str, int]]:
    """For each name of spans in which of its events, and where among the arguments, ``by`` is. Raises `HtrunError`."""
    from htrun.events.named import Phase

    if by.startswith("arg") and by[3:].isdecimal():
        if not 1 <= int(by[3:]) <= trace.num_args:
            raise HtrunError(f"--by {by}: events of {trace.path} have arg1 to arg{trace.num_args}")
        return {name: ("begin_args", int(by[3:]) - 1) for name in range(len(source.names))}
    found: dict[int, tuple[str, int]] = {}
    fields = {Phase.END: "end_args", Phase.BEGIN: "begin_args"}
    # The begin is asked last: where both have the argument, it tells.
    events = sorted(() if trace.names is None else trace.names.events, key=lambda event: event.phase is Phase.BEGIN)
    for event in events:
        names = [argument.name for argument in event.arguments]
        if by in names and event.name in source.names:
            field = fields.get(event.phase, "begin_args")
            found[source.names.index(event.name)] = (field, names.index(by) + 1)
    if not found:
        raise HtrunError(f"--by {by}: none of thread, process, vcpu, argN, nor an argument of any span's events")
    return found


def _region(trace: Trace, first: str, last: str) -> Region:
    """What lies between two events of ``trace``, as the user calls them. Raises `HtrunError`."""
    from htrun.analysis.timing.spans import Region

    begin, end = _id_of(trace, first, 1), _id_of(trace, last, -1)
    if begin == end:
        raise HtrunError(f"--between {first} {last}: the same event twice; try --intervals")
    return Region(f"{first}..{last}", begin, end)


def _id_of(trace: Trace, word: str, sign: int) -> int:
    """The value of ``arg1`` that ``word`` stands for; ``sign``: 1 where a begin is looked for, -1 for an end."""
    from htrun.events.named import Phase

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
