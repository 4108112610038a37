"""The names of spans: the names given by the user, and the names of the calibration pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from htrun.events import calibration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from htrun.analysis.timing.marks import Marks

_PAIRS = tuple(pair.name for pair in calibration.PAIRS)


@dataclass(frozen=True)
class SpanNames:
    """The names of the spans of one source, by number. The field ``name`` of a span contains the number of its name.

    ``own``: the names of the user's spans, or of kinds of events. The names of the calibration pairs have the following
    numbers. The user's spans may have the same names as calibration pairs.
    """

    own: tuple[str, ...] = ()

    def __getitem__(self, number: int) -> str:
        """The name with the number ``number``."""
        return self.own[number] if number < len(self.own) else _PAIRS[number - len(self.own)]

    def __iter__(self) -> Iterator[str]:
        """All names, in the order of their numbers."""
        return iter((*self.own, *_PAIRS))

    def __len__(self) -> int:
        """The number of names."""
        return len(self.own) + len(_PAIRS)

    def are_own(self, spans: NDArray[Any] | Marks) -> NDArray[np.bool_]:
        """A mask of the ``spans`` (or begins and ends) that do not belong to a calibration pair."""
        found: NDArray[np.bool_] = spans["name"] < len(self.own)
        return found

    def of_pair(self, index: int) -> int:
        """The number of the name of the calibration pair that has the index ``index`` in `calibration.PAIRS`."""
        return len(self.own) + index
