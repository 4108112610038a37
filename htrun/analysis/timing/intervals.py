"""Finds the intervals from each event of a trace to the next event of the same kind in the same thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.timing.codes import codes_of, in_order
from htrun.analysis.timing.epochs import Epochs
from htrun.analysis.timing.marks import Marks
from htrun.analysis.timing.ordinals import Ordinals
from htrun.analysis.timing.span_names import SpanNames
from htrun.analysis.timing.spans import Pairer, Unpaired, made
from htrun.events import calibration
from htrun.events.definitions import DEFINITIONS, HYPERTRACE
from htrun.events.named import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.timing.first_events import FirstEvents
    from htrun.analysis.timing.spans import Spans
    from htrun.events.losses import Loss
    from htrun.events.records import Events
    from htrun.events.shapes import Shape, Shapes

_HYPERTRACE = DEFINITIONS.index(HYPERTRACE)


class Intervals:
    """Finds intervals, one batch of events at a time.

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
        self._epochs = Epochs(losses)
        self._first_events = first_events
        self._pairer = Pairer(None, losses, num_args=num_args, first_events=first_events)
        self._ordinals = Ordinals()
        self._last = Marks.zeros(0, ("time", "number", "ordinal", "name", "stream", "epoch"), num_args)
        self._lost = 0

    def feed(self, events: Events) -> Spans:
        """Process the next ``events`` of the trace, and return the intervals that end in them."""
        marks = self._marks(events, self._pairer.seen + 1)
        calibrations = self._pairer.feed(events)
        # The pairer numbers only the names of the calibration pairs.
        calibrations["name"] += self.names.of_pair(0)
        both = self._last + marks.taken(~_is_calibration(events))
        both = both.taken(in_order(codes_of(both["name"], both["stream"])))
        same = (both["name"][1:] == both["name"][:-1]) & (both["stream"][1:] == both["stream"][:-1])
        self._last = both.taken(np.append(~same, True)) if len(both) else both
        epochs = both["epoch"]
        sound = same & (epochs[1:] == epochs[:-1]) & (epochs[1:] % 2 == 0)
        self._lost += int((same & ~sound).sum())
        begins = np.flatnonzero(sound)
        spans = made(both, begins, begins + 1, self._num_args)
        if self._first_events is not None:
            spans["trapped"] = self._first_events.within(spans)
        return np.concatenate([calibrations, spans[np.argsort(spans["end_number"])]])

    def _marks(self, events: Events, first: int) -> Marks:
        """All ``events``. ``first``: the number of the first."""
        names = np.zeros(len(events), np.uint32)
        places = {id(shape): place for place, shape in enumerate(self._shapes.all())}
        for shape, rows in self._shapes.split(events):
            names[rows] = places[id(shape)]
        streams = np.ascontiguousarray(events["stream"])
        columns: dict[str, NDArray[Any]] = {
            "time": np.ascontiguousarray(events["time"]),
            "number": np.arange(first, first + len(events), dtype=np.uint64),
            "ordinal": self._ordinals.of(events),
            "name": names,
            "stream": streams,
        }
        if self._num_args:
            columns["args"] = events["args"][:, : self._num_args]
        marks = Marks(columns)
        return marks.joined("epoch", self._epochs.of(marks, np.zeros(len(self.names), bool)))

    def finish(self) -> Mapping[str, Unpaired]:
        """The counts of intervals in which events were lost. Their name is empty, because the lost events may be of any
        kind."""
        return {"": Unpaired(lost=self._lost)} if self._lost else {}


def _is_calibration(events: Events) -> NDArray[np.bool_]:
    """A mask of the ``events`` that belong to calibration pairs."""
    found: NDArray[np.bool_] = np.isin(events["args"][:, 0], np.array(calibration.IDS, np.uint64))
    found &= events["kind"] == _HYPERTRACE
    return found


def _title(shape: Shape) -> str:
    """The name of the intervals of ``shape``. Begins and ends share a name, but have separate intervals."""
    return f"{shape.title}:{shape.phase.value}" if shape.phase in {Phase.BEGIN, Phase.END} else shape.title
