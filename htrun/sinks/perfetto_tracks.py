"""The tracks of a Perfetto trace: the numbers of the tracks, and the track of each event.

The upper bits of a track's number (``uuid``) are the track's kind. The lower bits distinguish tracks of the same kind.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Events
    from htrun.events.shapes import Shape
    from htrun.events.stream import Stream
    from htrun.sinks.perfetto_names import Names

_SHIFT = 56
_EVENT_SHIFT, _ARGUMENT_SHIFT = 38, 32
"""The bit positions in the number of a counter's track: the position of the counter's event (there may be a few hundred
thousand events), and the position of its argument. The process id is in the bits below."""
_KEYED = 1 << 63
"""The bit that is set in the number of the track of a key. All other bits of this number are a hash."""
_SPREAD = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio. This factor spreads keys that differ in few bits."""


class Track(IntEnum):
    """The kind of a track. No kind is 0, which Perfetto reserves."""

    PROCESS = 1
    THREAD = 2
    VCPU = 3
    SYSCALLS = 4
    COUNTER = 5

    def uuid(self, which: int) -> int:
        """The track's number. ``which``: the id of a process, or the number of a stream."""
        return self << _SHIFT | which


def counter_uuid(event: int, argument: int, pid: int) -> int:
    """The number (uuid) of a counter's track. ``event``: the number of the counter's name. ``argument``: the index of
    the counter's argument."""
    return Track.COUNTER.uuid(event << _EVENT_SHIFT | argument << _ARGUMENT_SHIFT | pid)


def thread_tracks(of: Track, events: Events) -> NDArray[np.uint64]:
    """For each event, the track of its thread, or a track below this track."""
    import numpy as np

    return events["stream"].astype(np.uint64) | np.uint64(of.uuid(0))


def counter_tracks(shape: Shape, events: Events, streams: Sequence[Stream], names: Names) -> list[NDArray[np.uint64]]:
    """For each argument of a counter, the track of each of ``events``."""
    import numpy as np

    pids = np.array([stream.pid for stream in streams], np.uint64)[events["stream"]]
    event = names.events[shape.title]
    return [pids | np.uint64(counter_uuid(event, place, 0)) for place in range(len(shape.arguments))]


def key_tracks(shape: Shape, events: Events, names: Names) -> NDArray[np.uint64] | None:
    """For each event, the track of its key; None if events of ``shape`` have no key. The begin and the end of a span
    have the same track."""
    import numpy as np

    place = shape.named.key_place if shape.named is not None else None
    if place is None or place >= len(shape.arguments):
        return None
    spread = np.uint64(_SPREAD)
    mixed = events["args"][:, shape.first + place] * spread
    mixed = (mixed ^ (mixed >> np.uint64(32))) + np.uint64(names.events[shape.title])
    return mixed * spread | np.uint64(_KEYED)
