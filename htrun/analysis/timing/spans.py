"""Finds the spans of a trace: pairs the begins and ends, one batch at a time, without a loop over single events.

An end is paired with the latest open begin of the same name in its thread. Events with a key are paired by name and
key, even across threads. A begin or end without a partner is only counted (see `Unpaired`): its partner is never
guessed. The memory used grows only with the number of spans that are open at the same time, up to `MOST_OPEN`.

::

    pairer = Pairer(trace.names, trace.losses)
    for events in trace.events():
        spans = pairer.feed(events)           # spans that end in this batch, in the order of their ends
        names = pairer.names[spans["name"][0]], ...
    pairer.finish()                           # counts of begins and ends without a partner, by name
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.timing.codes import codes_of, in_order, starts_of
from htrun.analysis.timing.nesting import last_above
from htrun.analysis.timing.span_names import SpanNames
from htrun.errors import HtrunError
from htrun.events import calibration
from htrun.events.definitions import DEFINITIONS, HYPERTRACE
from htrun.events.named import Phase
from htrun.events.records import joined, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.timing.first_events import FirstEvents
    from htrun.events.losses import Loss
    from htrun.events.named import NamedEvents
    from htrun.events.records import Events
    from htrun.events.shapes import Shape, Shapes

    Spans = NDArray[np.void]
    """An array of spans, of the type `span_dtype`."""
    Marks = NDArray[np.void]
    """An array of begins and ends, of the type `mark_dtype`."""

    _Ints = NDArray[np.int64]

MOST_OPEN = 1 << 20
"""The maximum number of begins that wait for their ends. If there are more, the oldest are counted as unpaired."""
_MOST_STRAY = 1 << 16
"""The maximum number of ends with a key that are kept without a begin, in case the begin follows."""
_MOST_NEGATIVE = 100_000
"""The maximum time in ns by which the end of a span may precede its begin. It is far more than the difference between
the clocks of two processors, and less than the time until a key is reused."""
_HYPERTRACE = DEFINITIONS.index(HYPERTRACE)


@dataclass(frozen=True)
class Region:
    """The time between an event and the next event of another kind.

    ``name``: the name of the region; ``begin``, ``end``: the values that ``arg1`` has in the two kinds of events.
    """

    name: str
    begin: int
    end: int


@dataclass
class Unpaired:
    """Counts of the begins and ends with the same name that form no span.

    ``begins``: the number of begins without an end.
    ``ends``: the number of ends without a begin.
    ``negative``: the number of pairs with a key in which the end precedes the begin.
    ``lost``: the number of begins and ends that cannot be paired with certainty because events were lost.
    """

    begins: int = 0
    ends: int = 0
    negative: int = 0
    lost: int = 0

    @property
    def total(self) -> int:
        """The number of all begins and ends that form no span. A negative pair consists of a begin and an end."""
        return self.begins + self.ends + 2 * self.negative + self.lost


def span_dtype(num_args: int = 0) -> np.dtype[Any]:
    """The type of a row that describes one span. Its fields are:

    ``name``: the index of its name in `Pairer.names`.
    ``begin``, ``end``: the times of its two events, in ns since the epoch.
    ``begin_stream``, ``end_stream``: the threads of the two events. They can differ only if the span has a key.
    ``begin_number``, ``end_number``: the numbers of the two events, counted from 1 in the order of the trace.
    ``depth``: the number of spans without a key that were open in the thread when this span began; 0 if the `Pairer`
    does not determine the nesting.
    ``steps``: the number of events that the thread emitted after the begin, up to and including the end. It is 1 if no
    event lies between the two, and always 1 if the span has a key.
    ``key``: the key of the span; 0 if it has none.
    ``parent``: the number of the begin of the innermost span without a key that was open in the same thread when this
    span began, even if that span never ends. It is 0 if there was none, or if the `Pairer`
    does not determine the nesting.
    ``trapped``: whether the span contains an event that `first_events.FirstEvents` finds; False if the `Pairer` does
    not look for these events.
    ``begin_args``, ``end_args``: the first ``num_args`` arguments of the two events; absent if ``num_args`` is 0.
    """
    fields: list[tuple[Any, ...]] = [
        ("begin", "<u8"), ("end", "<u8"), ("begin_number", "<u8"), ("end_number", "<u8"), ("steps", "<u8"),
        ("key", "<u8"), ("parent", "<u8"),
        ("name", "<u4"), ("depth", "<u4"), ("begin_stream", "<u4"), ("end_stream", "<u4"), ("trapped", "?"),
    ]  # fmt: skip
    if num_args:
        fields += [("begin_args", "<u8", (num_args,)), ("end_args", "<u8", (num_args,))]
    return np.dtype(fields, align=True)


def mark_dtype(num_args: int = 0) -> np.dtype[Any]:
    """A begin or an end, as `Pairer` stores it.

    ``time``: the time of the event, in ns since the epoch.
    ``number``: the number of the event in the trace, counted from 1.
    ``ordinal``: the number of the event in its stream.
    ``scope``: the number of its stream, or its key. Begins and ends are paired only within a scope.
    ``epoch``: see `_Losses`.
    ``parent``: for a begin, the number of the begin of the span around its span.
    ``sign``: 1 for a begin, -1 for an end.
    """
    fields: list[tuple[Any, ...]] = [
        ("time", "<u8"), ("number", "<u8"), ("ordinal", "<u8"), ("scope", "<u8"), ("epoch", "<i8"),
        ("parent", "<u8"),
        ("name", "<u4"), ("stream", "<u4"), ("depth", "<u4"), ("sign", "<i4"),
    ]  # fmt: skip
    if num_args:
        fields.append(("args", "<u8", (num_args,)))
    return np.dtype(fields, align=True)


class Pairer:
    """Pairs begins and ends. ``keyed``: for the number of each name, whether its spans have a key.

    ``named``: the user's names of events.
    ``losses``: the losses of events.
    ``num_args``: the number of arguments that spans include.
    ``region``: a region that is searched for, instead of spans between the user's begins and ends.
    ``first_events``: finds the spans in which an event trapped; None if the field ``trapped`` is not needed.
    ``nesting``: whether the depth and the parent of each span are determined.
    """

    def __init__(
        self,
        named: NamedEvents | None,
        losses: Sequence[Loss] = (),
        *,
        num_args: int = 0,
        region: Region | None = None,
        first_events: FirstEvents | None = None,
        nesting: bool = False,
    ) -> None:
        sorts = _sorts(named) if region is None else _of_region(region)
        begins = [sort for sort in sorts if sort.sign > 0]
        self.names = SpanNames(tuple(sort.name for sort in begins))
        self.keyed: tuple[bool, ...] = (
            *(sort.key is not None for sort in begins),
            *(False for _ in range(len(begins), len(self.names))),
        )
        self.seen = 0
        """The number of events that have been processed."""
        self._kinds = _Kinds(sorts, self.names)
        self._losses = _Losses(losses)
        self._first_events = first_events
        self._nesting = nesting
        self._num_args = num_args
        self._keyed = np.array(self.keyed)
        self._open: Marks = np.empty(0, mark_dtype(num_args))
        self._stray: Marks = np.empty(0, mark_dtype(num_args))
        self._ordinals = np.zeros(0, np.uint64)
        self._unpaired = [Unpaired() for _ in self.names]

    @property
    def open(self) -> Marks:
        """The begins that still wait for their ends, in the order of the trace."""
        return self._open

    def feed(self, events: Events) -> Spans:
        """Process the next ``events`` of the trace, and return the spans that end in them, in the order of their ends.

        Raises `HtrunError` if the key of a name is an argument that ``events`` do not have.
        """
        marks = self._marks(events)
        if not len(marks):
            return self.none()
        both = joined([self._open, marks]) if len(self._open) else marks
        paired = _pair(both)
        if self._nesting:
            _set_depths(both, len(self._open), paired.stray, self._keyed)
            _set_parents(both, len(self._open), paired, self._keyed)
        self._keep_stray(both[paired.stray])
        self._keep_open(both[paired.open])
        return self._spans(taken(both, paired.begins), taken(both, paired.ends))

    def resume(self, waiting: Marks, seen: int) -> None:
        """Continue from the state of another pairer.

        ``waiting``: the open begins of the other pairer. Their arguments and parents are 0 if the other pairer has not
        determined them. ``seen``: the number of events that the other pairer has processed. `steps` counts events from
        here on.
        """
        self._open = np.zeros(len(waiting), mark_dtype(self._num_args))
        for field in waiting.dtype.names or ():
            if field != "args":
                self._open[field] = waiting[field]
        self.seen = seen

    def unfinished(self) -> Spans:
        """The open spans. Their end number is 0, and their end is later than any time in a trace."""
        spans = _made(self._open, self._open, self._num_args)
        spans["key"] = np.where(self._keyed[spans["name"]], self._open["scope"], 0)
        spans["end"], spans["end_number"] = np.iinfo(np.uint64).max, 0
        return spans

    def none(self) -> Spans:
        """An array without spans."""
        return np.empty(0, span_dtype(self._num_args))

    def finish(self) -> Mapping[str, Unpaired]:
        """The counts of begins and ends without a partner, by the user's names. A name is absent if all its begins and
        ends have a partner.

        Must be called once, after all events have been processed.
        """
        negative = _negative(self._open, self._stray)
        names, counts = np.unique(self._open["name"][negative], return_counts=True)
        for name, count in zip(names.tolist(), counts.tolist(), strict=True):
            self._unpaired[name].negative += count
            self._unpaired[name].ends -= count
        self._count(self._open[~negative])
        self._open, self._stray = self._open[:0], self._stray[:0]
        own = zip(self.names.own, self._unpaired, strict=False)
        return {name: left for name, left in own if left.total}

    def _marks(self, events: Events) -> Marks:
        """The begins and ends among ``events``. Begins and ends within a loss are counted as lost, and are not
        returned."""
        ordinals = self.ordinals(events["stream"])
        first = self.seen + 1
        if self._first_events is not None:
            self._first_events.feed(events, first)
        self._advance(events["stream"])
        rows, kinds = self._kinds.of(events)
        marks = np.empty(len(rows), mark_dtype(self._num_args))
        for field in ("time", "stream"):
            marks[field] = events[field][rows]
        marks["number"] = rows + first
        marks["ordinal"] = ordinals[rows]
        marks["name"] = self._kinds.names[kinds]
        marks["sign"] = self._kinds.signs[kinds]
        marks["scope"] = self._kinds.scopes(events, rows, kinds)
        marks["depth"] = marks["parent"] = 0
        if self._num_args:
            marks["args"] = events["args"][rows, : self._num_args]
        marks["epoch"] = self._losses.epochs(marks, self._keyed)
        within = marks["epoch"] % 2 == 1
        if within.any():
            self._count(marks[within])
            marks = marks[~within]
        return marks

    def ordinals(self, streams: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """For each of the next events, its number within its stream. ``streams``: the streams of these events."""
        counts = np.bincount(streams, minlength=len(self._ordinals)).astype(np.uint64)
        before = np.zeros(len(counts), np.uint64)
        before[: len(self._ordinals)] = self._ordinals
        ordinals = np.arange(len(streams), dtype=np.uint64)
        if counts.max(initial=0) == len(streams):
            ordinals += before[streams]
            return ordinals
        order = in_order(streams.astype(np.int64))
        starts = np.cumsum(counts) - counts
        ordinals[order] = ordinals + (before - starts)[streams[order]]
        return ordinals

    def _advance(self, streams: NDArray[np.uint32]) -> None:
        counts = np.bincount(streams, minlength=len(self._ordinals)).astype(np.uint64)
        counts[: len(self._ordinals)] += self._ordinals
        self._ordinals = counts
        self.seen += len(streams)

    def _spans(self, begins: Marks, ends: Marks) -> Spans:
        spans = _made(begins, ends, self._num_args)
        together = ~self._keyed[begins["name"]]
        spans["key"] = np.where(together, 0, begins["scope"])
        spans["steps"][together] = (ends["ordinal"] - begins["ordinal"])[together]
        if self._first_events is not None:
            spans["trapped"] = self._first_events.within(spans)
        return spans

    def _keep_stray(self, stray: Marks) -> None:
        self._count(stray)
        keyed = stray[self._keyed[stray["name"]] & (stray["epoch"] == 0)]
        if len(keyed):
            self._stray = np.concatenate([self._stray, keyed])[-_MOST_STRAY:]

    def _keep_open(self, waiting: Marks) -> None:
        beyond = max(len(waiting) - MOST_OPEN, 0)
        self._count(waiting[:beyond])
        self._open = waiting[beyond:].copy()

    def _count(self, marks: Marks) -> None:
        """Count ``marks`` as unpaired."""
        if not len(marks):
            return
        # A begin that precedes a loss may have lost its end. An end that follows a loss may have lost its begin.
        lost = np.where(marks["sign"] > 0, marks["epoch"] < self._losses.last(marks, self._keyed), marks["epoch"] > 0)
        for name in np.unique(marks["name"]).tolist():
            own, unpaired = marks["name"] == name, self._unpaired[name]
            unpaired.lost += int((own & lost).sum())
            unpaired.begins += int((own & ~lost & (marks["sign"] > 0)).sum())
            unpaired.ends += int((own & ~lost & (marks["sign"] < 0)).sum())


class Intervals:
    """Finds the intervals from each event to the next event of the same kind in the same thread.

    Intervals are returned as spans. The name of an interval is the name of its kind of event. Calibration pairs are
    also returned as spans.
    """

    def __init__(
        self,
        shapes: Shapes,
        losses: Sequence[Loss] = (),
        *,
        num_args: int = 0,
        first_events: FirstEvents | None = None,
    ) -> None:
        self.names = SpanNames(tuple(_title(shape) for shape in shapes.all()))
        self._shapes = shapes
        self._num_args = num_args
        self._losses = _Losses(losses)
        self._first_events = first_events
        self._pairer = Pairer(None, losses, num_args=num_args, first_events=first_events)
        self._last: Marks = np.empty(0, mark_dtype(num_args))
        self._lost = 0

    def feed(self, events: Events) -> Spans:
        """Process the next ``events`` of the trace, and return the intervals that end in them."""
        first = self._pairer.seen + 1
        ordinals = self._pairer.ordinals(events["stream"])
        calibrations = self._pairer.feed(events)
        # The pairer numbers only the names of the calibration pairs.
        calibrations["name"] += self.names.of_pair(0)
        marks = np.zeros(len(events), mark_dtype(self._num_args))
        marks["time"], marks["stream"] = events["time"], events["stream"]
        marks["number"] = np.arange(first, first + len(events), dtype=np.uint64)
        marks["ordinal"] = ordinals
        if self._num_args:
            marks["args"] = events["args"][:, : self._num_args]
        places = {id(shape): place for place, shape in enumerate(self._shapes.all())}
        for shape, rows in self._shapes.split(events):
            marks["name"][rows] = places[id(shape)]
        marks["epoch"] = self._losses.epochs(marks, np.zeros(len(self.names), bool))
        own = ~is_calibration(events)
        both = np.concatenate([self._last, marks[own]])
        both = both[np.argsort(codes_of(both["name"], both["stream"]), kind="stable")]
        same = (both["name"][1:] == both["name"][:-1]) & (both["stream"][1:] == both["stream"][:-1])
        self._last = both[np.append(~same, True)] if len(both) else both
        sound = same & (both["epoch"][1:] == both["epoch"][:-1]) & (both["epoch"][1:] % 2 == 0)
        self._lost += int((same & ~sound).sum())
        spans = _made(both[:-1][sound], both[1:][sound], self._num_args)
        spans["steps"] = both["ordinal"][1:][sound] - both["ordinal"][:-1][sound]
        if self._first_events is not None:
            spans["trapped"] = self._first_events.within(spans)
        return np.concatenate([calibrations, spans[np.argsort(spans["end_number"])]])

    def finish(self) -> Mapping[str, Unpaired]:
        """The counts of intervals in which events were lost. Their name is empty, because the lost events may be of any
        kind."""
        return {"": Unpaired(lost=self._lost)} if self._lost else {}


def is_calibration(events: Events) -> NDArray[np.bool_]:
    """A mask of the ``events`` that belong to calibration pairs."""
    found: NDArray[np.bool_] = np.isin(events["args"][:, 0], np.array(calibration.IDS, np.uint64))
    found &= events["kind"] == _HYPERTRACE
    return found


def _title(shape: Shape) -> str:
    """The name of the intervals of ``shape``. Begins and ends share a name, but have separate intervals."""
    return f"{shape.title}:{shape.phase.value}" if shape.phase in {Phase.BEGIN, Phase.END} else shape.title


def _made(begins: Marks, ends: Marks, num_args: int) -> Spans:
    """The spans of ``begins`` and ``ends``, each with one step and without a key."""
    spans = np.empty(len(begins), span_dtype(num_args))
    for prefix, marks in (("begin", begins), ("end", ends)):
        spans[prefix] = marks["time"]
        spans[f"{prefix}_number"] = marks["number"]
        spans[f"{prefix}_stream"] = marks["stream"]
        if num_args:
            spans[f"{prefix}_args"] = marks["args"]
    for field in ("name", "depth", "parent"):
        spans[field] = begins[field]
    spans["steps"], spans["trapped"], spans["key"] = 1, False, 0
    return spans


@dataclass(frozen=True, order=True)
class _Sort:
    """A kind of event that begins or ends spans. ``id``: the value of its ``arg1``; ``sign``: 1 for a begin, -1 for an
    end; ``key``: the index of the argument that is its key, None if it has no key."""

    id: int
    name: str
    sign: int
    key: int | None = None


def _sorts(named: NamedEvents | None) -> list[_Sort]:
    events = () if named is None else named.events
    signs = {Phase.BEGIN: 1, Phase.END: -1}
    # The user's arguments begin with arg2.
    return [
        _Sort(event.id, event.name, signs[event.phase], None if event.key_place is None else event.key_place + 1)
        for event in events
        if event.phase in signs
    ]


def _of_region(region: Region) -> list[_Sort]:
    return [_Sort(region.begin, region.name, 1), _Sort(region.end, region.name, -1)]


class _Kinds:
    """The kinds of events that begin or end spans, by ``arg1``. ``names``, ``signs``: the number of the name, and the
    sign, of each kind."""

    def __init__(self, sorts: Sequence[_Sort], names: SpanNames) -> None:
        taken = {sort.id for sort in sorts}
        ours = [
            (_Sort(number, pair.name, sign), names.of_pair(place))
            for place, pair in enumerate(calibration.PAIRS)
            for number, sign in ((pair.begin, 1), (pair.end, -1))
            if number not in taken
        ]
        places = {name: place for place, name in enumerate(names.own)}
        every = sorted([*((sort, places[sort.name]) for sort in sorts), *ours], key=lambda each: each[0].id)
        self._ids = np.array([sort.id for sort, _ in every], np.uint64)
        self.names = np.array([place for _, place in every], np.uint32)
        self.signs = np.array([sort.sign for sort, _ in every], np.int32)
        self._all_names = names
        self._keys = {kind: sort.key for kind, (sort, _) in enumerate(every) if sort.key is not None}

    def of(self, events: Events) -> tuple[_Ints, _Ints]:
        """The rows of ``events`` that begin or end spans, and the kind of each of these rows."""
        arg1 = np.ascontiguousarray(events["args"][:, 0])
        kinds = np.searchsorted(self._ids, arg1)
        found = self._ids[np.minimum(kinds, len(self._ids) - 1)] == arg1
        rows = np.flatnonzero(found & (events["kind"] == _HYPERTRACE))
        return rows, kinds[rows]

    def scopes(self, events: Events, rows: _Ints, kinds: _Ints) -> NDArray[np.uint64]:
        """The scope within which each of ``rows`` is paired: the number of its stream, or its key. Raises
        `HtrunError`."""
        scopes: NDArray[np.uint64] = events["stream"][rows].astype("<u8")
        for kind, argument in self._keys.items():
            own = kinds == kind
            if not own.any():
                continue
            if argument >= events["args"].shape[1]:
                name = self._all_names[self.names[kind]]
                raise HtrunError(f"the key of {name!r} is arg{argument + 1}, which the trace's events do not have")
            scopes[own] = events["args"][rows[own], argument]
        return scopes


class _Losses:
    """Divides time into numbered epochs. Epochs between losses have even numbers, epochs within losses odd numbers.

    Events with a key may be paired across threads, so their epochs depend on the losses of all threads.
    """

    def __init__(self, losses: Sequence[Loss]) -> None:
        self._any = bool(losses)
        of_streams: dict[int, list[tuple[int, int]]] = {}
        for loss in losses:
            of_streams.setdefault(loss.stream, []).append((loss.begin, loss.end))
        every = [stretch for stretches in of_streams.values() for stretch in stretches]
        self._all = np.array(_merged(every), np.uint64).reshape(-1, 2)
        self._streams = {
            stream: np.array(_merged(stretches), np.uint64).reshape(-1, 2) for stream, stretches in of_streams.items()
        }

    def epochs(self, marks: Marks, keyed: NDArray[np.bool_]) -> _Ints:
        """The epoch of each of ``marks``. ``keyed``: for each name, whether its marks have a key."""
        return self._each(marks, keyed, lambda stretches, times: _epochs(stretches, times))

    def last(self, marks: Marks, keyed: NDArray[np.bool_]) -> _Ints:
        """For each of ``marks``, the last epoch of its thread, or of all threads if it has a key."""
        return self._each(marks, keyed, lambda stretches, times: np.full(len(times), 2 * len(stretches), np.int64))

    def _each(
        self,
        marks: Marks,
        keyed: NDArray[np.bool_],
        function: Callable[[NDArray[np.uint64], NDArray[np.uint64]], _Ints],
    ) -> _Ints:
        values = np.zeros(len(marks), np.int64)
        if not self._any:
            return values
        with_key = keyed[marks["name"]]
        values[with_key] = function(self._all, marks["time"][with_key])
        for stream in np.unique(marks["stream"]).tolist():
            if stream in self._streams:
                own = ~with_key & (marks["stream"] == stream)
                values[own] = function(self._streams[stream], marks["time"][own])
        return values


def _merged(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """``stretches`` sorted by time, with adjacent and overlapping ones merged."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _epochs(stretches: NDArray[np.uint64], times: NDArray[np.uint64]) -> _Ints:
    # An event at the begin or the end of a stretch counts as outside.
    begun = np.searchsorted(stretches[:, 0], times, side="left")
    return begun + np.searchsorted(stretches[:, 1], times, side="right")


@dataclass(frozen=True)
class _Paired:
    """The positions of marks. ``begins``, ``ends``: the begins and ends that form pairs, in the order of the ends;
    ``open``: the begins that still wait for their ends; ``stray``: the ends without a begin."""

    begins: _Ints
    ends: _Ints
    open: _Ints
    stray: _Ints


def _pair(marks: Marks) -> _Paired:
    """Pair ``marks``, which are in order of time. Marks with the same name, scope and epoch form a group. Within a
    group, an end is paired with the latest open begin.

    Within a group, the running sum of signs is the number of open begins minus the number of ends without a begin. Each
    end without a begin takes the sum to a new minimum. The sum minus its minimum so far is the nesting level. On each
    level, begins and ends alternate.
    """
    groups = codes_of(marks["name"], marks["scope"], marks["epoch"])
    order = in_order(groups)
    groups, signs = groups[order], marks["sign"][order].astype(np.int64)
    starts = starts_of(groups)
    lengths = np.diff(np.append(starts, len(groups)))
    sums = np.cumsum(signs)
    sums -= np.repeat(sums[starts] - signs[starts], lengths)
    # The sums of each group are shifted below the sums of all earlier groups, so that a single running minimum serves
    # all groups.
    drop = np.repeat(np.arange(len(starts)) * (2 * len(marks) + 2), lengths)
    lows = np.minimum(np.minimum.accumulate(sums - drop) + drop, 0)
    before = np.concatenate([[0], lows[:-1]])
    before[starts] = 0
    stray = (signs < 0) & (lows < before)
    levels = sums - lows + (signs < 0)
    kept = ~stray
    order, signs, stray_places = order[kept], signs[kept], order[stray]
    # The rank of a group replaces the group, so that codes are small.
    ranks = np.repeat(np.arange(len(starts)), lengths)
    if levels.max(initial=0) > 1:
        by_level = in_order(codes_of(ranks[kept], levels[kept]))
        order, signs = order[by_level], signs[by_level]
    ends = np.flatnonzero(signs < 0)
    unpaired = signs > 0
    unpaired[ends - 1] = False
    partners = np.full(len(marks), -1, np.int64)
    partners[order[ends]] = order[ends - 1]
    in_time = np.flatnonzero(partners >= 0)
    return _Paired(partners[in_time], in_time, np.sort(order[unpaired]), np.sort(stray_places))


def _set_depths(marks: Marks, old: int, stray: _Ints, keyed: NDArray[np.bool_]) -> None:
    """Set the depth of ``marks[old:]``. ``marks[:old]`` are begins that were already open."""
    steps = marks["sign"].astype(np.int64)
    steps[stray] = 0
    steps[keyed[marks["name"]]] = 0
    threads = codes_of(marks["stream"], marks["epoch"])
    order = in_order(threads)
    threads, steps = threads[order], steps[order]
    starts = starts_of(threads)
    before = np.cumsum(steps) - steps
    before -= np.repeat(before[starts], np.diff(np.append(starts, len(threads))))
    new = order >= old
    depths = marks["depth"]
    depths[order[new]] = np.maximum(before[new], 0)


def _set_parents(marks: Marks, old: int, paired: _Paired, keyed: NDArray[np.bool_]) -> None:
    """Set the parent of all begins in ``marks[old:]``. The depths of ``marks`` must be set."""
    begins = np.flatnonzero(marks["sign"] > 0)
    asking = begins[(begins >= old) & (marks["depth"][begins] > 0)]
    if not len(asking):
        return
    until = np.full(len(marks), len(marks), np.int64)
    until[paired.begins] = paired.ends
    # Sort by thread, and then by time.
    places = codes_of(marks["stream"], marks["epoch"]) * len(marks) + np.arange(len(marks))
    around = begins[~keyed[marks["name"][begins]]]
    around = around[np.argsort(places[around])]
    before = np.searchsorted(places[around], places[asking])
    # The parent of most begins is the previous begin in the thread. A begin has a parent if its depth is above 0.
    nearest = before - 1
    far = np.flatnonzero(until[around[nearest]] < asking)
    nearest[far] = last_above(until[around], before[far], asking[far])
    marks["parent"][asking] = marks["number"][around[nearest]]


def _negative(begins: Marks, ends: Marks) -> NDArray[np.bool_]:
    """A mask of the ``begins`` that closely follow an end in ``ends`` with the same name and key."""
    found = np.zeros(len(begins), bool)
    if not len(begins) or not len(ends):
        return found
    both = np.concatenate([begins, ends])
    codes = codes_of(both["name"], both["scope"])
    order = np.lexsort((both["time"], codes))
    codes, times, signs = codes[order], both["time"][order].astype(np.int64), both["sign"][order]
    near = (codes[1:] == codes[:-1]) & (signs[:-1] < 0) & (signs[1:] > 0) & (np.diff(times) <= _MOST_NEGATIVE)
    found[order[1:][near]] = True
    return found
