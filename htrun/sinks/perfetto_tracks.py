"""The tracks of a Perfetto trace: their numbers, and the track of each event.

The upper bits of a track's number (``uuid``) are its kind, the lower bits distinguish tracks of one kind.
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
"""The positions in a counter track's number of the counter's event (there may be a few hundred thousand) and of its
argument; the process id is in the bits below."""
_KEYED = 1 << 63
"""The bit that is set in the numbers of keys' tracks; all other bits are a hash."""
_SPREAD = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: spreads keys that differ in few bits."""


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
    """The track of one counter. ``event``: the number of its name; ``argument``: the index of its argument."""
    return Track.COUNTER.uuid(event << _EVENT_SHIFT | argument << _ARGUMENT_SHIFT | pid)


def thread_tracks(of: Track, events: Events) -> NDArray[np.uint64]:
    """The track of each event's thread, or a track below it."""
    import numpy as np

    return events["stream"].astype(np.uint64) | np.uint64(of.uuid(0))


def counter_tracks(shape: Shape, events: Events, streams: Sequence[Stream], names: Names) -> list[NDArray[np.uint64]]:
    """For each argument of a counter, the track of each event."""
    import numpy as np

    pids = np.array([stream.pid for stream in streams], np.uint64)[events["stream"]]
    event = names.events[shape.title]
    return [pids | np.uint64(counter_uuid(event, place, 0)) for place in range(len(shape.arguments))]


def key_tracks(shape: Shape, events: Events, names: Names) -> NDArray[np.uint64] | None:
    """The track of each event's key; None if events of ``shape`` have no key. A begin and its end have the same
    track."""
    import numpy as np

    place = shape.named.key_place if shape.named is not None else None
    if place is None or place >= len(shape.arguments):
        return None
    spread = np.uint64(_SPREAD)
    mixed = events["args"][:, shape.first + place] * spread
    mixed = (mixed ^ (mixed >> np.uint64(32))) + np.uint64(names.events[shape.title])
    return mixed * spread | np.uint64(_KEYED)
