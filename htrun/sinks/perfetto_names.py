"""The names in a Perfetto trace. Each name is written once, and packets refer to the name by its number (it is
*interned*)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.arguments import ArgumentType
from htrun.sinks import protobuf as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from htrun.events.records import Events
    from htrun.events.shapes import Shape
    from htrun.sinks.columns import Column

CATEGORY = 1
"""The number of the only category. All events have this category."""
CALL = "call"
"""The name of the annotation that contains a decoded system call."""

# The numbers of fields of InternedData. Each entry has its number in field 1 and its text in field 2.
_CATEGORIES, _EVENT_NAMES, _ANNOTATION_NAMES, _ANNOTATION_STRINGS = 1, 2, 3, 29


class Names:
    """The names that events need, numbered from 1. The names of shapes are known before the first event, or when a run
    finds names of events."""

    def __init__(self) -> None:
        self.events: dict[str, int] = {}
        self.annotations: dict[str, int] = {}
        self.labels: dict[str, int] = {}
        self._shapes = 0

    def learn_shapes(self, field: int, shapes: Sequence[Shape]) -> list[Column]:
        """The names that ``shapes`` need and that are new, as an InternedData in the field ``field``; empty if there
        are none. ``shapes`` begin with those that were passed before."""
        new, first = shapes[self._shapes :], not self._shapes
        if not new:
            return []
        self._shapes = len(shapes)
        arguments = [argument for shape in new for argument in shape.arguments]
        numbers = [shape.number_column for shape in new if shape.number_column is not None]
        labels = [
            label
            for argument in arguments
            if argument.type is not ArgumentType.TEXT
            for label in argument.labels.values()
        ]
        tables = {
            _CATEGORIES: {"hypertrace": CATEGORY} if first else {},
            _EVENT_NAMES: _added(self.events, [shape.title for shape in new]),
            _ANNOTATION_NAMES: _added(self.annotations, [*numbers, *(each.name for each in arguments), CALL]),
            _ANNOTATION_STRINGS: _added(self.labels, labels),
        }
        return pb.message(field, *(entry for kind, table in tables.items() for entry in _entries(kind, table)))

    def learn(self, field: int, shape: Shape, events: Events) -> list[Column]:
        """The texts that occur in ``events`` for the first time, as the field ``field``; empty if there are none. All
        ``events`` have the same ``shape``."""
        import numpy as np

        used = {
            argument.value(word)
            for argument, words in shape.words(events)
            if argument.type is ArgumentType.TEXT
            for word in np.unique(words).tolist()
        }
        new = {str(text): 0 for text in used if text not in self.labels}
        for text in new:
            new[text] = self.labels[text] = len(self.labels) + 1
        return pb.message(field, *_entries(_ANNOTATION_STRINGS, new)) if new else []

    def learn_events(self, field: int, names: Iterable[str]) -> list[Column]:
        """The new names among the event ``names``, as the field ``field``; empty if there are none."""
        new = _added(self.events, names)
        return pb.message(field, *_entries(_EVENT_NAMES, new)) if new else []


def _entries(kind: int, table: Mapping[str, int]) -> Iterator[list[Column]]:
    return (pb.message(kind, pb.number(1, number), pb.text(2, name)) for name, number in table.items())


def _added(table: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    """Add ``names`` to ``table``. Returns the new entries."""
    new = {}
    for name in names:
        if name not in table:
            new[name] = table[name] = len(table) + 1
    return new
