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

from htrun.analysis.timing.epochs import Epochs
from htrun.analysis.timing.marks import Marks
from htrun.analysis.timing.ordinals import Ordinals
from htrun.analysis.timing.pairing import negative_pairs, pair, set_depths, set_parents
from htrun.analysis.timing.span_events import Kinds, rows_of, span_events
from htrun.analysis.timing.span_names import SpanNames

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.timing.first_events import FirstEvents
    from htrun.analysis.timing.pairing import Paired
    from htrun.analysis.timing.span_events import Region
    from htrun.events.losses import Loss
    from htrun.events.named import NamedEvents
    from htrun.events.records import Events

    Spans = NDArray[np.void]
    """An array of spans, of the type `span_dtype`."""
    Places = NDArray[np.int64] | slice

MOST_OPEN = 1 << 20
"""The maximum number of begins that wait for their ends. If there are more, the oldest are counted as unpaired."""
_MOST_STRAY = 1 << 16
"""The maximum number of ends with a key that are kept without a begin, in case the begin follows."""
_MOST_NEGATIVE = 100_000
"""The maximum time in ns by which the end of a span may precede its begin. It is far more than the difference between
the clocks of two processors, and less than the time until a key is reused."""


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
        kinds = span_events(named, region)
        begins = [kind for kind in kinds if kind.sign > 0]
        self.names = SpanNames(tuple(kind.name for kind in begins))
        self.keyed: tuple[bool, ...] = (
            *(kind.key is not None for kind in begins),
            *(False for _ in range(len(begins), len(self.names))),
        )
        self.seen = 0
        """The number of events that have been processed."""
        self._kinds = Kinds(kinds, self.names)
        self._epochs = Epochs(losses)
        self._first_events = first_events
        self._nesting = nesting
        self._num_args = num_args
        self._keyed = np.array(self.keyed)
        self._ordinals = Ordinals()
        self._open = self._waiting(0)
        self._stray = self._waiting(0)
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
        both = self._open + marks if len(self._open) else marks
        paired = pair(both, self._keyed)
        if self._nesting:
            set_depths(both, len(self._open), paired, self._keyed)
            set_parents(both, len(self._open), paired, self._keyed)
        self._keep_stray(both.taken(paired.stray))
        self._keep_open(both.taken(paired.open))
        return self._spans(both, paired)

    def resume(self, waiting: Marks, seen: int) -> None:
        """Continue from the state of another pairer.

        ``waiting``: the open begins of the other pairer. Their arguments and parents are 0 if the other pairer has not
        determined them. ``seen``: the number of events that the other pairer has processed. `steps` counts events from
        here on.
        """
        self._open = self._waiting(len(waiting))
        self._open.fill_from(waiting)
        self.seen = seen

    def unfinished(self) -> Spans:
        """The open spans. Their end number is 0, and their end is later than any time in a trace."""
        every = slice(None)
        spans = made(self._open, every, every, self._num_args)
        spans["key"] = np.where(self._keyed[spans["name"]], self._open["scope"], 0)
        spans["end"], spans["end_number"], spans["steps"] = np.iinfo(np.uint64).max, 0, 1
        return spans

    def none(self) -> Spans:
        """An array without spans."""
        return np.empty(0, span_dtype(self._num_args))

    def finish(self) -> Mapping[str, Unpaired]:
        """The counts of begins and ends without a partner, by the user's names. A name is absent if all its begins and
        ends have a partner.

        Must be called once, after all events have been processed.
        """
        negative = negative_pairs(self._open, self._stray, _MOST_NEGATIVE)
        names, counts = np.unique(self._open["name"][negative], return_counts=True)
        for name, count in zip(names.tolist(), counts.tolist(), strict=True):
            self._unpaired[name].negative += count
            self._unpaired[name].ends -= count
        self._count(self._open.taken(~negative))
        self._open, self._stray = self._waiting(0), self._waiting(0)
        own = zip(self.names.own, self._unpaired, strict=False)
        return {name: left for name, left in own if left.total}

    def _marks(self, events: Events) -> Marks:
        """The begins and ends among ``events``. Begins and ends within a loss are counted as lost, and are not
        returned."""
        first = self.seen + 1
        self.seen += len(events)
        if self._first_events is not None:
            self._first_events.feed(events, first)
        streams = np.ascontiguousarray(events["stream"])
        ordinals = self._ordinals.of(events)
        rows, kinds = self._kinds.of(events)
        columns: dict[str, NDArray[Any]] = {
            "time": rows_of(events["time"], rows),
            "number": rows_of(np.arange(first, self.seen + 1, dtype=np.uint64), rows),
            "ordinal": rows_of(ordinals, rows),
            "scope": self._kinds.scopes(events, rows, kinds),
            "name": self._kinds.names[kinds],
            "stream": rows_of(streams, rows),
            "sign": self._kinds.signs[kinds],
        }
        if self._nesting:
            columns |= {"depth": np.zeros(len(kinds), np.uint32), "parent": np.zeros(len(kinds), np.uint64)}
        if self._num_args:
            columns["args"] = rows_of(events["args"][:, : self._num_args], rows)
        marks = Marks(columns)
        return self._outside_losses(marks) if self._epochs else marks

    def _outside_losses(self, marks: Marks) -> Marks:
        """The ``marks`` that are not within a loss, with their epochs. The other marks are only counted."""
        marks = marks.joined("epoch", self._epochs.of(marks, self._keyed))
        within = marks["epoch"] % 2 == 1
        if within.any():
            self._count(marks.taken(within))
            marks = marks.taken(~within)
        return marks

    def _waiting(self, count: int) -> Marks:
        """``count`` empty marks with the columns that this pairer uses."""
        names = ["time", "number", "ordinal", "scope", "name", "stream", "sign"]
        names += ["depth", "parent"] if self._nesting else []
        names += ["epoch"] if self._epochs else []
        return Marks.zeros(count, names, self._num_args)

    def _spans(self, marks: Marks, paired: Paired) -> Spans:
        begins, ends = paired.begins, paired.ends
        spans = made(marks, begins, ends, self._num_args)
        with_key = self._keyed[spans["name"]]
        if with_key.any():
            spans["key"] = np.where(with_key, marks["scope"][begins], 0)
            spans["steps"][with_key] = 1
        if self._first_events is not None:
            spans["trapped"] = self._first_events.within(spans)
        return spans

    def _keep_stray(self, stray: Marks) -> None:
        self._count(stray)
        keyed = self._keyed[stray["name"]]
        if self._epochs:
            keyed &= stray["epoch"] == 0
        if keyed.any():
            self._stray = (self._stray + stray.taken(keyed)).taken(slice(-_MOST_STRAY, None))

    def _keep_open(self, waiting: Marks) -> None:
        beyond = max(len(waiting) - MOST_OPEN, 0)
        self._count(waiting.taken(slice(beyond)))
        self._open = waiting.taken(slice(beyond, None)) if beyond else waiting

    def _count(self, marks: Marks) -> None:
        """Count ``marks`` as unpaired."""
        if not len(marks):
            return
        # Lost events may include the end of a span that began before the loss, and the begin of one that ends after it.
        lost = np.zeros(len(marks), np.bool_)
        if self._epochs:
            last = self._epochs.last(marks, self._keyed)
            lost = np.where(marks["sign"] > 0, marks["epoch"] < last, marks["epoch"] > 0)
        for name in np.unique(marks["name"]).tolist():
            own, unpaired = marks["name"] == name, self._unpaired[name]
            unpaired.lost += int((own & lost).sum())
            unpaired.begins += int((own & ~lost & (marks["sign"] > 0)).sum())
            unpaired.ends += int((own & ~lost & (marks["sign"] < 0)).sum())


def made(marks: Marks, begins: Places, ends: Places, num_args: int) -> Spans:
    """The spans, without keys, between ``begins`` and ``ends``, which are positions in ``marks``."""
    names = marks["name"][begins]
    spans = np.empty(len(names), span_dtype(num_args))
    spans["name"] = names
    for prefix, places in (("begin", begins), ("end", ends)):
        spans[prefix] = marks["time"][places]
        spans[f"{prefix}_number"] = marks["number"][places]
        spans[f"{prefix}_stream"] = marks["stream"][places]
        if num_args:
            spans[f"{prefix}_args"] = marks["args"][places]
    for field in ("depth", "parent"):
        spans[field] = marks[field][begins] if field in marks else 0
    spans["steps"] = marks["ordinal"][ends] - marks["ordinal"][begins]
    spans["trapped"], spans["key"] = False, 0
    return spans
