"""Finds the events that begin or end spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from htrun.errors import HtrunError
from htrun.events import calibration
from htrun.events.definitions import DEFINITIONS, HYPERTRACE
from htrun.events.named import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from htrun.analysis.timing.span_names import SpanNames
    from htrun.events.named import NamedEvents
    from htrun.events.records import Events

    _Ints = NDArray[np.int64]

_HYPERTRACE = DEFINITIONS.index(HYPERTRACE)
_MOST_TABLE = 1 << 12
"""The size limit of the table of small values of ``arg1``."""


@dataclass(frozen=True)
class Region:
    """The time between an event and the next event of another kind.

    ``name``: the name of the region; ``begin``, ``end``: the values that ``arg1`` has in the two kinds of events.
    """

    name: str
    begin: int
    end: int


@dataclass(frozen=True, order=True)
class SpanEvent:
    """A kind of event that begins or ends spans. ``id``: the value of its ``arg1``; ``sign``: 1 for a begin, -1 for an
    end; ``key``: the index of the argument that is its key, None if it has no key."""

    id: int
    name: str
    sign: int
    key: int | None = None


def span_events(named: NamedEvents | None, region: Region | None) -> list[SpanEvent]:
    """The kinds of events of ``region``, or of the user's spans if ``region`` is None."""
    if region is not None:
        return [SpanEvent(region.begin, region.name, 1), SpanEvent(region.end, region.name, -1)]
    events = () if named is None else named.events
    signs = {Phase.BEGIN: 1, Phase.END: -1}
    # The user's arguments begin with arg2.
    return [
        SpanEvent(event.id, event.name, signs[event.phase], None if event.key_place is None else event.key_place + 1)
        for event in events
        if event.phase in signs
    ]


class Kinds:
    """The kinds of events that begin or end spans, by ``arg1``. ``names``, ``signs``: the number of the name, and the
    sign, of each kind."""

    def __init__(self, kinds: Sequence[SpanEvent], names: SpanNames) -> None:
        taken = {kind.id for kind in kinds}
        ours = [
            (SpanEvent(number, pair.name, sign), names.of_pair(place))
            for place, pair in enumerate(calibration.PAIRS)
            for number, sign in ((pair.begin, 1), (pair.end, -1))
            if number not in taken
        ]
        places = {name: place for place, name in enumerate(names.own)}
        every = sorted([*((kind, places[kind.name]) for kind in kinds), *ours], key=lambda each: each[0].id)
        self._ids = np.array([kind.id for kind, _ in every], np.uint64)
        self._table = _table(self._ids)
        self.names = np.array([place for _, place in every], np.uint32)
        self.signs = np.array([kind.sign for kind, _ in every], np.int8)
        self._all_names = names
        self._keys = {number: kind.key for number, (kind, _) in enumerate(every) if kind.key is not None}

    def of(self, events: Events) -> tuple[_Ints | None, _Ints]:
        """The rows of ``events`` that begin or end spans, None if all rows do; and the kind of each of these rows."""
        kinds = self._of_values(np.ascontiguousarray(events["args"][:, 0]))
        rows = np.flatnonzero((kinds >= 0) & (events["kind"] == _HYPERTRACE))
        return (None, kinds) if len(rows) == len(events) else (rows, kinds[rows])

    def _of_values(self, values: NDArray[np.uint64]) -> _Ints:
        """The kind of the event for each of ``values`` of ``arg1``; -1 if it neither begins nor ends a span."""
        last = len(self._table) - 1
        kinds: _Ints = self._table[np.minimum(values, np.uint64(last)).view(np.int64)]
        far = np.flatnonzero(values >= np.uint64(last))
        if len(far):
            found = np.minimum(np.searchsorted(self._ids, values[far]), len(self._ids) - 1)
            kinds[far] = np.where(self._ids[found] == values[far], found, -1)
        return kinds

    def scopes(self, events: Events, rows: _Ints | None, kinds: _Ints) -> NDArray[np.uint64]:
        """The scope within which each of ``rows`` is paired: the number of its stream, or its key. Raises
        `HtrunError`."""
        scopes = rows_of(events["stream"], rows).astype(np.uint64)
        for kind, argument in self._keys.items():
            own = np.flatnonzero(kinds == kind)
            if not len(own):
                continue
            if argument >= events["args"].shape[1]:
                name = self._all_names[self.names[kind]]
                raise HtrunError(f"the key of {name!r} is arg{argument + 1}, which the trace's events do not have")
            scopes[own] = events["args"][:, argument][own if rows is None else rows[own]]
        return scopes


def _table(ids: NDArray[np.uint64]) -> _Ints:
    """The index in ``ids`` of each small value, -1 if it is not among them. The last element applies to all greater
    values, too."""
    small = ids[ids < _MOST_TABLE]
    table = np.full(int(small[-1]) + 2 if len(small) else 1, -1, np.int64)
    table[small.astype(np.int64)] = np.arange(len(small))
    return table


def rows_of(column: NDArray[np.generic], rows: _Ints | None) -> NDArray[np.generic]:
    """The ``rows`` of ``column``, all if ``rows`` is None."""
    return np.ascontiguousarray(column) if rows is None else column[rows]
