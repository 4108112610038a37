"""Begins and ends of spans, as columns: most steps of pairing need only one or two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

_TYPES: Mapping[str, str] = {
    "time": "<u8", "number": "<u8", "ordinal": "<u8", "scope": "<u8", "name": "<u4", "stream": "<u4", "sign": "i1",
    "epoch": "<i8", "depth": "<u4", "parent": "<u8",
}  # fmt: skip


class Marks:
    """Begins and ends, in the order of the trace. The columns are:

    ``time``: the time of the event, in ns since the epoch.
    ``number``: the number of the event in the trace, counted from 1.
    ``ordinal``: the number of the event in its stream.
    ``scope``: the number of its stream, or its key. Begins and ends are paired only within a scope.
    ``name``: the number of the name of its span; ``stream``: the number of its stream.
    ``sign``: 1 for a begin, -1 for an end.
    ``epoch``: see `htrun.analysis.timing.epochs`; absent if no event was lost.
    ``depth``, ``parent``: for a begin, the number of spans that contain its span, and the number of the begin of the
    innermost of these spans; absent if they are not determined. ``args``: the first arguments of the event; absent if
    they are not needed.
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._columns = columns

    @classmethod
    def zeros(cls, count: int, names: Iterable[str], num_args: int = 0) -> Marks:
        """The columns ``names``, with ``count`` zeros each. ``num_args``: the width of the column ``args``."""
        columns: dict[str, NDArray[Any]] = {name: np.zeros(count, _TYPES[name]) for name in names if name in _TYPES}
        return cls(columns | ({"args": np.zeros((count, num_args), "<u8")} if num_args else {}))

    def __len__(self) -> int:
        """The number of begins and ends."""
        return len(self["time"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The column ``name``."""
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        """Whether there is a column ``name``."""
        return name in self._columns

    def __add__(self, other: Marks) -> Marks:
        """These marks, followed by the marks of ``other``, which has the same columns."""
        return Marks({name: np.concatenate([each, other[name]]) for name, each in self._columns.items()})

    def taken(self, places: NDArray[Any] | slice) -> Marks:
        """A copy of the marks at ``places``, which are positions, a mask or a slice."""
        return Marks({name: column[places].copy() for name, column in self._columns.items()})

    def joined(self, name: str, column: NDArray[Any]) -> Marks:
        """These marks with the additional ``column``, whose name is ``name``."""
        return Marks({**self._columns, name: column})

    def fill_from(self, other: Marks) -> None:
        """Copy the columns that ``other`` also has."""
        for name, column in self._columns.items():
            if name in other and column.shape == other[name].shape:
                column[:] = other[name]
