"""The ids of events. The id of an event is its number in the trace: events are counted from 1, in order of time.

Filters do not change ids. A span has the id of its begin event. Texts of system calls are not events; a text has the id
of its call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from htrun.events.definitions import DEFINITIONS, USER_SYSCALL_TEXT
from htrun.events.window import BATCH, EVERYTHING, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from htrun.analysis.timing.spans import Spans
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events
    from htrun.events.shapes import Rows

_TEXT = DEFINITIONS.index(USER_SYSCALL_TEXT)


def numbered_events(
    trace: Trace, end: int = EVERYTHING.end, size: int = BATCH, *, texts: bool = False
) -> Iterator[tuple[NDArray[np.uint64], Events]]:
    """The events of ``trace`` before the time ``end``, of all threads, with their ids.

    ``texts``: see `Trace.events`.
    """
    count = 0
    for events in trace.events(Window(end=end), size, texts=texts):
        ids = np.uint64(count) + np.cumsum(events["kind"] != _TEXT, dtype=np.uint64)
        count = int(ids[-1])
        yield ids, events


def in_window(events: Events, window: Window) -> Rows:
    """The rows of the ``events`` that are in ``window``."""
    times = events["time"]
    if window.streams is None and int(times[0]) >= window.begin and int(times[-1]) < window.end:
        return slice(None)
    inside = (times >= np.uint64(window.begin)) & (times < np.uint64(window.end))
    if window.streams is not None:
        inside &= np.isin(events["stream"], list(window.streams))
    return np.flatnonzero(inside)


def begins_in(spans: Spans, window: Window) -> NDArray[np.bool_]:
    """A mask of the ``spans`` that begin in ``window``."""
    begins = spans["begin"]
    inside: NDArray[np.bool_] = (begins >= np.uint64(window.begin)) & (begins < np.uint64(window.end))
    if window.streams is not None:
        inside &= np.isin(spans["begin_stream"], list(window.streams))
    return inside
