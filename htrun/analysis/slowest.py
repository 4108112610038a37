"""The slowest spans of a trace, and all spans that overlap with them.

The first pass pairs the begins and ends of all spans, and keeps the longest spans. It also stores a `Checkpoint` from
time to time: the begins that wait for their ends. For each slow span, the second pass reads only the part of the trace
from the last checkpoint before the span to the end of the span. There it pairs begins and ends again, with their
arguments, and so finds the spans that overlap with the slow span.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.timing.first_events import FirstEvents
from htrun.analysis.timing.spans import Pairer
from htrun.events.definitions import USER_SYSCALL_TEXT
from htrun.events.records import chosen, joined, taken
from htrun.events.window import Window

if TYPE_CHECKING:
    from htrun.analysis.timing.marks import Marks
    from htrun.analysis.timing.query import SpanQuery
    from htrun.analysis.timing.spans import Spans, Unpaired
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events

_PER_OCTAVE = 16
"""The number of classes from any power of two to the next. Durations are counted by class. The classes of one octave
are equally wide: 3 to 6% of the durations in them."""
_CLASSES = 64 * _PER_OCTAVE
_BELOW_CLASS = 52 - (_PER_OCTAVE.bit_length() - 1)
"""The number of low bits of a float of 64 bits that its class ignores. The higher bits are the exponent, and the first
bits of the fraction."""
_OF_ONE = 1023 * _PER_OCTAVE
"""The high bits of the float 1.0."""
_MOST_KEPT = 1 << 18
"""The maximum number of overlapping spans that are kept for a slow span."""
_MOST_BEGINS = 1 << 18
"""The maximum number of begin events that all checkpoints together contain."""
_CHECKPOINT = 16
"""The size of an empty checkpoint, in begins."""


@dataclass(frozen=True)
class SlowSpan:
    """A slow span.

    ``span``: the span, with its arguments.
    ``meanwhile``: the other spans that overlap with ``span``, in the order of their begins. A span that ended later
    than ``span`` has the end number 0.
    ``dropped``: the number of further overlapping spans, which were dropped because there are too many. The longest
    are kept.
    """

    span: np.void
    meanwhile: Spans
    dropped: int = 0


@dataclass(frozen=True)
class Slowest:
    """The slowest spans.

    ``names``, ``keyed``: the names of spans, and whether the spans of each name have keys, from a `Pairer`.
    ``spans``: the slowest spans, the longest first.
    ``count``: the number of selected spans.
    ``medians``: the median duration of the spans of each name, in ns, accurate to 3%.
    ``unpaired``: the numbers of begins and ends without a partner, by name.
    """

    names: Sequence[str]
    keyed: Sequence[bool]
    spans: Sequence[SlowSpan]
    count: int
    medians: Sequence[float]
    unpaired: Mapping[str, Unpaired]


def find_slowest(trace: Trace, batches: Iterable[Events], wanted: SpanQuery, most: int) -> Slowest:
    """The ``most`` longest of the selected spans of ``trace``.

    ``batches``: all events of ``trace``. ``wanted``: selects the spans. Raises `HtrunError`.
    """
    trapped = FirstEvents([stream.pid for stream in trace.streams])
    pairer = Pairer(trace.names, trace.losses, first_events=trapped)
    selected = wanted.choice(trace, pairer)
    longest, count = _Longest(pairer.none(), most), 0
    durations = _Durations(len(pairer.names))
    checkpoints = _Checkpoints()
    for events in batches:
        checkpoints.add(pairer, events)
        spans = pairer.feed(events)
        spans = chosen(spans, pairer.names.are_own(spans))
        durations.add(spans)
        spans = chosen(spans, selected(spans))
        count += len(spans)
        longest.add(spans)
    in_parts = pairer.seen == len(trace) and _has_order(trace)
    found = {int(each.span["begin_number"]): each for each in _meanwhile(trace, longest.spans, checkpoints, in_parts)}
    slow = [found[number] for number in longest.spans["begin_number"].tolist()]
    return Slowest(pairer.names.own, pairer.keyed, slow, count, durations.medians(), pairer.finish())


def _has_order(trace: Trace) -> bool:
    """Whether events with equal times have the same order in any part of ``trace`` that is read."""
    return trace.guest is None and USER_SYSCALL_TEXT not in trace.kinds


class _Longest:
    """The ``most`` longest of the ``spans`` so far, the longest first. If spans are equally long, the earlier ones are
    taken."""

    def __init__(self, none: Spans, most: int) -> None:
        self.spans = none
        self._most = most

    def add(self, spans: Spans) -> None:
        """Add ``spans``, which end after all earlier ones."""
        if len(self.spans) == self._most:
            last = self.spans[-1]
            spans = chosen(spans, spans["end"] - spans["begin"] >= last["end"] - last["begin"])
        if len(spans):
            self.spans = _longest(joined([self.spans, spans]), self._most)


def _longest(spans: Spans, most: int) -> Spans:
    """The ``most`` longest of ``spans``. If spans are equally long, the earlier ones are taken."""
    durations = spans["end"] - spans["begin"]
    if len(spans) > most:
        least = np.partition(durations, len(spans) - most)[len(spans) - most]
        spans = chosen(spans, durations >= least)
        durations = spans["end"] - spans["begin"]
    order = np.lexsort((spans["begin_number"], ~durations))
    return taken(spans, order[:most])


class _Durations:
    """Counts durations by name, in classes."""

    def __init__(self, names: int) -> None:
        self._counts = np.zeros((names, _CLASSES), np.int64)

    def add(self, spans: Spans) -> None:
        """Count ``spans``."""
        durations = np.maximum(spans["end"] - spans["begin"], 1).astype(np.float64)
        classes = (durations.view(np.int64) >> _BELOW_CLASS) - _OF_ONE
        codes = spans["name"].astype(np.int64) * _CLASSES + np.minimum(classes, _CLASSES - 1)
        counts = self._counts.reshape(-1)
        counts += np.bincount(codes, minlength=len(counts))

    def medians(self) -> list[float]:
        """The median duration of the spans of each name: the middle of the class that contains the median; 0 without
        spans."""
        totals = np.cumsum(self._counts, axis=1)
        medians = []
        for total in totals:
            octave, place = divmod(int(np.searchsorted(total, (total[-1] + 1) // 2)), _PER_OCTAVE)
            medians.append(2**octave * (1 + (place + 0.5) / _PER_OCTAVE) if total[-1] else 0.0)
        return medians


@dataclass(frozen=True)
class Checkpoint:
    """A position from which pairing can start again.

    ``seen``: the number of events before the position; ``waiting``: the begins before it whose ends come after it.
    ``time``: the time of the first event after the position, in ns; ``earlier``: the number of events before this time.
    """

    seen: int
    waiting: Marks
    time: int
    earlier: int


class _Checkpoints:
    """Checkpoints in limited memory: if there are too many, every second checkpoint is dropped. Starting at an earlier
    checkpoint gives the same result, but takes longer."""

    def __init__(self) -> None:
        self._kept: list[Checkpoint] = []
        self._size = 0
        self._stride = 1
        self._asked = 0
        self._last, self._earlier = -1, 0

    def add(self, pairer: Pairer, events: Events) -> None:
        """Add a checkpoint of the state of ``pairer``, if the last checkpoint is far enough away. ``events``: the next
        events, with which the state will change."""
        time, last = int(events["time"][0]), int(events["time"][-1])
        # Earlier events may have the same time as the first of these.
        earlier = self._earlier if time == self._last else pairer.seen
        if last != time:
            self._earlier = pairer.seen + int(np.searchsorted(events["time"], np.uint64(last)))
        else:
            self._earlier = earlier
        self._last = last
        self._asked += 1
        if self._kept and self._asked % self._stride:
            return
        self._kept.append(Checkpoint(pairer.seen, pairer.open, time, earlier))
        self._size += len(pairer.open) + _CHECKPOINT
        while self._size > _MOST_BEGINS and len(self._kept) > 1:
            # The first checkpoint, before all events, is always kept.
            self._kept = self._kept[::2]
            self._size = sum(len(each.waiting) + _CHECKPOINT for each in self._kept)
            self._stride *= 2

    def before(self, number: int) -> Checkpoint:
        """The last checkpoint before the event ``number``."""
        return next(each for each in reversed(self._kept) if each.seen < number)


class _Meanwhile:
    """Collects the spans that overlap with a slow span."""

    def __init__(self, span: np.void) -> None:
        self._number = span["begin_number"]
        self._span = span
        self._begin, self._end = span["begin"], span["end"]
        self._found: list[Spans] = []
        self._itself: np.void | None = None
        self._size = 0
        self._dropped = 0

    def add(self, spans: Spans) -> None:
        """Keep the ``spans`` that overlap."""
        itself = spans["begin_number"] == self._number
        paired = spans[itself & (spans["end_number"] > 0)]
        if len(paired):
            self._itself = paired[0]
        overlaps = (spans["begin"] < self._end) & (spans["end"] > self._begin) & ~itself
        self._found.append(chosen(spans, overlaps))
        self._size += len(self._found[-1])
        if self._size > 2 * _MOST_KEPT:
            kept = _longest(joined(self._found), _MOST_KEPT)
            self._dropped += self._size - len(kept)
            self._found, self._size = [kept], len(kept)

    def result(self) -> SlowSpan:
        """The slow span with the spans that were collected."""
        spans = joined(self._found)
        # If too many begins wait, the oldest are dropped. The second pass may then have dropped the begin of a span
        # that the first pass found. The arguments and the parent of that span are unknown.
        itself = np.zeros(1, spans.dtype)[0] if self._itself is None else self._itself
        for field in self._span.dtype.names or ():
            if self._itself is None or field == "trapped":
                # Take ``trapped`` from the first pass: only this pass reads all events, and can find the events that
                # trapped.
                itself[field] = self._span[field]
        return SlowSpan(itself, taken(spans, np.argsort(spans["begin_number"])), self._dropped)


class _Stretch:
    """A part of the trace in which the second pass pairs begins and ends. It extends from ``start`` to the last event
    of its slow spans."""

    def __init__(self, trace: Trace, start: Checkpoint) -> None:
        self.slow: list[_Meanwhile] = []
        self.start = start
        self.last = 0
        self.end = 0
        """The time of the last event, in ns."""
        self._pairer = Pairer(trace.names, trace.losses, num_args=trace.num_args, nesting=True)
        self._pairer.resume(start.waiting, start.seen)

    def add(self, span: np.void) -> None:
        """Extend the part to the end of ``span``, and collect the spans that overlap with it."""
        self.slow.append(_Meanwhile(span))
        self.last, self.end = max(self.last, int(span["end_number"])), max(self.end, int(span["end"]))

    def feed(self, first: int, events: Events) -> None:
        """Pair the ``events`` that belong to the part. ``first``: the number of the first of ``events``."""
        begin, end = max(self.start.seen + 1 - first, 0), min(self.last + 1 - first, len(events))
        if begin < end:
            self._collect(self._pairer.feed(events[begin:end]))

    def finish(self) -> list[SlowSpan]:
        """The slow spans, each with the spans that overlap with it."""
        self._collect(self._pairer.unfinished())
        return [slow.result() for slow in self.slow]

    def _collect(self, spans: Spans) -> None:
        spans = chosen(spans, self._pairer.names.are_own(spans))
        for slow in self.slow:
            slow.add(spans)


def _stretches(trace: Trace, longest: Spans, checkpoints: _Checkpoints) -> list[_Stretch]:
    stretches: list[_Stretch] = []
    for span in longest[np.argsort(longest["begin_number"])]:
        start = checkpoints.before(int(span["begin_number"]))
        if not stretches or start.seen > stretches[-1].last:
            stretches.append(_Stretch(trace, start))
        stretches[-1].add(span)
    return stretches


def _meanwhile(trace: Trace, longest: Spans, checkpoints: _Checkpoints, in_parts: bool) -> Iterator[SlowSpan]:
    """Each of the spans ``longest`` with the spans that overlap with it. ``in_parts``: whether only the necessary parts
    of ``trace`` are read; otherwise it is read from its begin."""
    stretches = _stretches(trace, longest, checkpoints)
    if in_parts:
        for stretch in stretches:
            _feed(trace, Window(stretch.start.time, stretch.end + 1), stretch.start.earlier, [stretch])
    elif stretches:
        _feed(trace, Window(end=max(stretch.end for stretch in stretches) + 1), 0, stretches)
    for stretch in stretches:
        yield from stretch.finish()


def _feed(trace: Trace, window: Window, earlier: int, stretches: Sequence[_Stretch]) -> None:
    """Read the events of ``window`` for all ``stretches``. ``earlier``: the number of events before the window."""
    for events in trace.events(window):
        for stretch in stretches:
            stretch.feed(earlier + 1, events)
        earlier += len(events)
