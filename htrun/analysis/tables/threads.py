"""The columns of a table that say of which thread a row is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.arrow import dictionary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow
    from numpy.typing import NDArray

    from htrun.events.stream import Stream

THREAD_IDS = ("pid", "tid", "vcpu")


class ThreadColumns:
    """The columns of a thread, by the number of its stream."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        """``streams``: those of the trace."""
        self._ids = {name: np.array([getattr(each, name) for each in streams], np.uint32) for name in THREAD_IDS}
        comms = [stream.comm for stream in streams]
        places = {comm: place for place, comm in enumerate(dict.fromkeys(comms))}
        self._names = list(places)
        self._places = np.array([places[comm] for comm in comms], np.int32)

    def id(self, name: str, streams: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The ``tid``, ``pid`` or ``vcpu`` of each of ``streams``."""
        return self._ids[name][streams]

    def comm(self, streams: NDArray[np.uint32]) -> pyarrow.DictionaryArray:
        """The name of each of ``streams``."""
        return dictionary(self._places[streams], self._names)
