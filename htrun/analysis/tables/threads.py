"""The columns of a table that identify the thread of a row."""

from __future__ import annotations

from functools import cached_property
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
    """The columns that identify a thread, by the number of its stream. Each column is built when it is first used,
    because a trace may have a million threads."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        """``streams``: the streams of the trace."""
        self._streams = streams

    def id(self, name: str, streams: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The ``tid``, ``pid`` or ``vcpu`` of each of ``streams``."""
        return self._ids[name][streams]

    def comm(self, streams: NDArray[np.uint32]) -> pyarrow.DictionaryArray:
        """The name of each of ``streams``."""
        names, places = self._comms
        return dictionary(places[streams], names)

    @cached_property
    def _ids(self) -> dict[str, NDArray[np.uint32]]:
        return {name: np.array([getattr(each, name) for each in self._streams], np.uint32) for name in THREAD_IDS}

    @cached_property
    def _comms(self) -> tuple[list[str], NDArray[np.int32]]:
        """The distinct names, and for each stream the index of its name."""
        comms = [stream.comm for stream in self._streams]
        places = {comm: place for place, comm in enumerate(dict.fromkeys(comms))}
        return list(places), np.array([places[comm] for comm in comms], np.int32)
