"""Shapes of events. Events with the same kind and name have the same fields, so a sink can format them column by
column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from htrun.events.arguments import Argument, ArgumentType
from htrun.events.definitions import DECIMAL_ARGUMENTS, DEFINITIONS, HYPERTRACE, Definition
from htrun.events.named import NamedEvent, NamedEvents, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Events

    Rows = slice | NDArray[np.int64]
    """A selection of the events of a batch: indexes, or a slice for all."""

_HYPERTRACE = DEFINITIONS.index(HYPERTRACE)


@dataclass(frozen=True)
class Shape:
    """The fields of one kind of event.

    ``named``: the user's declaration of the event; None if the user has not named the event. ``arguments``: the types
    of ``args``, from index ``first`` on.
    """

    definition: Definition
    named: NamedEvent | None
    arguments: tuple[Argument, ...]
    first: int = 0

    @property
    def number_column(self) -> str | None:
        """The column that is shown with the arguments of an event: the index of a slot, or the number of a call; None
        if events of this shape have neither."""
        return next(iter(self.definition.fields), None)

    @property
    def title(self) -> str:
        """The name that the user has given to the event; otherwise the name of the event's kind."""
        return self.named.name if self.named else self.definition.name

    @property
    def phase(self) -> Phase:
        """The meaning of the event: an instant unless the user has declared something else."""
        return self.named.phase if self.named else Phase.INSTANT

    def words(self, events: Events) -> Iterator[tuple[Argument, NDArray[np.uint64]]]:
        """Each argument with its column of ``events``. All events must have this shape."""
        for place, argument in enumerate(self.arguments, self.first):
            yield argument, events["args"][:, place]


class Shapes:
    """The shapes that the events of one trace can have.

    ``num_args``: the number of arguments of a ``guest_hypertrace`` event. ``named``: the named events of the user, or
    those that were found in the files of the program.
    """

    def __init__(self, num_args: int, named: NamedEvents | None = None) -> None:
        self.num_args = num_args
        self.named = named

    def learn(self, named: NamedEvents) -> None:
        """From now on, events have the names ``named``, which begin with the present ones, so that the index of a shape
        in `all` does not change."""
        self.named = named
        for cached in ("_shapes", "named_columns"):
            self.__dict__.pop(cached, None)

    def split(self, events: Events) -> list[tuple[Shape, Rows]]:
        """The shapes that occur in ``events``, each with the rows of its events. The rows keep the order of
        ``events``."""
        import numpy as np

        codes = self.codes(events)
        if not len(codes):
            return []
        if (codes == codes[0]).all():
            return [(self._shapes[codes[0]], slice(None))]
        return [(self._shapes[code], np.flatnonzero(codes == code)) for code in np.unique(codes)]

    def all(self) -> tuple[Shape, ...]:
        """Every possible shape."""
        return self._shapes

    def width(self, shape: Shape) -> int:
        """The number of arguments of an event of ``shape``, including arguments without names."""
        if shape.definition is not HYPERTRACE or (shape.named is not None and shape.named.carried):
            return shape.first + len(shape.arguments)
        return self.num_args

    def codes(self, events: Events) -> NDArray[np.int64]:
        """The index in `all` of the shape of each event. `all` contains the kinds first, then the named events."""
        import numpy as np

        kinds = events["kind"].astype(np.int64)
        if self.named is None:
            return kinds
        places = self.named.places(events["args"][:, 0])
        return np.where((kinds == _HYPERTRACE) & (places >= 0), places + len(DEFINITIONS), kinds)

    @cached_property
    def named_columns(self) -> dict[str, tuple[Argument, dict[int, int]]]:
        """The arguments that the user has named. The keys are column names ``NAME.ARGUMENT`` for a table of all events.

        Each value is the type of the argument, and a mapping from shapes (their indexes in `all`) to the index of the
        argument in that shape.
        """
        columns: dict[str, tuple[Argument, dict[int, int]]] = {}
        for number, shape in enumerate(self.all()):
            if shape.named is None:
                continue
            for place, argument in enumerate(shape.arguments, shape.first):
                name = f"{shape.named.name}.{argument.name}"
                if name in columns and columns[name][0] != argument:
                    # The begin event and the end event of a span may use the same name for different things.
                    name = f"{shape.named.name}.{shape.named.phase.value}.{argument.name}"
                columns.setdefault(name, (argument, {}))[1][number] = place
        return columns

    @cached_property
    def _shapes(self) -> tuple[Shape, ...]:
        plain = [
            Shape(
                definition,
                None,
                tuple(
                    Argument(name, ArgumentType.U64 if name in DECIMAL_ARGUMENTS else ArgumentType.HEX)
                    for name in definition.argument_names(self.num_args)
                ),
            )
            for definition in DEFINITIONS
        ]
        events = self.named.events if self.named else ()
        named = [Shape(HYPERTRACE, event, self._own(event), first=1) for event in events]
        return (*plain, *named)

    def _own(self, event: NamedEvent) -> tuple[Argument, ...]:
        """The arguments of an event in this trace. There are no more arguments than the channel has, although the user
        may declare more."""
        return event.arguments if event.carried else event.arguments[: self.num_args - 1]
