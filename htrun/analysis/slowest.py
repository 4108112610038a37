"""The slowest spans of a trace, and all spans that overlap with them.

The trace is read twice. The first pass pairs the begins and ends of all spans, and keeps the longest spans. It also
stores a `Checkpoint` from time to time: the begins that wait for their ends. The second pass only counts events, except
between the last checkpoint before a slow span and the end of that span. There it pairs begins and ends again, with
their arguments, and so finds the spans that overlap with the slow span.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.event_ids import numbered_events
from htrun.analysis.timing.first_events import FirstEvents
from htrun.analysis.timing.spans import Pairer
from htrun.events.records import chosen, joined, taken

if TYPE_CHECKING:
    from htrun.analysis.timing.query import SpanQuery
    from htrun.analysis.timing.spans import Marks, Spans, Unpaired
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events

_PER_OCTAVE = 16
"""The number of classes from any duration to twice that duration. Durations are counted by class; each class is 4%
wide."""
_CLASSES = 64 * _PER_OCTAVE
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
    ``medians``: the median duration of the spans of each name, in ns, accurate to 4%.
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
    longest, count = pairer.none(), 0
    durations = _Durations(len(pairer.names))
    checkpoints = _Checkpoints()
    for events in batches:
        checkpoints.add(pairer)
        spans = pairer.feed(events)
        spans = chosen(spans, pairer.names.are_own(spans))
        durations.add(spans)
        spans = chosen(spans, selected(spans))
        count += len(spans)
        longest = _longest(joined([longest, _longest(spans, most)]), most)
    found = {int(each.span["begin_number"]): each for each in _meanwhile(trace, longest, checkpoints)}
    slow = [found[number] for number in longest["begin_number"].tolist()]
    return Slowest(pairer.names.own, pairer.keyed, slow, count, durations.medians(), pairer.finish())


def _longest(spans: Spans, most: int) -> Spans:
    """The ``most`` longest of ``spans``. Of equally long spans, the first are taken."""
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
        classes = np.minimum((np.log2(durations) * _PER_OCTAVE).astype(np.int64), _CLASSES - 1)
        codes = spans["name"].astype(np.int64) * _CLASSES + classes
        counts = self._counts.reshape(-1)
        counts += np.bincount(codes, minlength=len(counts))

    def medians(self) -> list[float]:
        """The median duration of the spans of each name: the middle of the class that contains the median; 0 without
        spans."""
        totals = np.cumsum(self._counts, axis=1)
        medians = []
        for total in totals:
            middle = int(np.searchsorted(total, (total[-1] + 1) // 2))
            medians.append(2 ** ((middle + 0.5) / _PER_OCTAVE) if total[-1] else 0.0)
        return medians


@dataclass(frozen=True)
class Checkpoint:
    """A position from which pairing can start again.

    ``seen``: the number of events before the position; ``waiting``: the begins before it whose ends come after it.
    """

    seen: int
    waiting: Marks


class _Checkpoints:
    """Checkpoints in limited memory: if there are too many, every second checkpoint is dropped. Starting at an earlier
    checkpoint gives the same result, but takes longer."""

    def __init__(self) -> None:
        self._kept: list[Checkpoint] = []
        self._size = 0
        self._stride = 1
        self._asked = 0

    def add(self, pairer: Pairer) -> None:
        """Add a checkpoint of the state of ``pairer``, unless the existing ones are dense enough."""
        self._asked += 1
        if self._kept and self._asked % self._stride:
            return
        self._kept.append(Checkpoint(pairer.seen, pairer.open.copy()))
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
        self.last = 0
        self._seen = start.seen
        self._pairer = Pairer(trace.names, trace.losses, num_args=trace.num_args, nesting=True)
        self._pairer.resume(start.waiting, start.seen)

    def add(self, span: np.void) -> None:
        """Extend the part to the end of ``span``, and collect the spans that overlap with it."""
        self.slow.append(_Meanwhile(span))
        self.last = max(self.last, int(span["end_number"]))

    def feed(self, first: int, events: Events) -> None:
        """Pair the ``events`` that belong to the part. ``first``: the number of the first of ``events``."""
        begin, end = max(self._seen + 1 - first, 0), min(self.last + 1 - first, len(events))
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


def _meanwhile(trace: Trace, longest: Spans, checkpoints: _Checkpoints) -> Iterator[SlowSpan]:
    """Each of the spans ``longest`` with the spans that overlap with it. Reads ``trace`` a second time."""
    if not len(longest):
        return
    stretches = _stretches(trace, longest, checkpoints)
    for ids, events in numbered_events(trace, int(longest["end"].max()) + 1):
        for stretch in stretches:
            stretch.feed(int(ids[0]), events)
    for stretch in stretches:
        yield from stretch.finish()
