"""The tracer's own events in the layout of a native trace: one stream for each kind of event.

Each stream contains the events of all threads, so each event contains its thread, as LTTng's contexts do. With one
stream for each thread, there would be thousands of files if a script starts thousands of programs, and readers keep
every file open. The field ``thread`` is the thread's number in the run, since thread ids are reused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from htrun.ctf.layout import COMM_SIZE
from htrun.events.definitions import DEFINITIONS, Definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.stream import Stream
    from htrun.events.tracer_events import TracerRecords

THREAD_FIELDS = ("pid", "tid", "vcpu")
THREAD_LAYOUT = [*((field, "<u4") for field in THREAD_FIELDS), ("comm", f"S{COMM_SIZE}")]
"""The fields of an event that describe its thread, in addition to ``thread``."""


def by_definition(records: TracerRecords, streams: Sequence[Stream]) -> Iterator[tuple[Definition, NDArray[np.void]]]:
    """The events of each kind among ``records``, in the layout of their streams."""
    import numpy as np

    used, places = np.unique(records["stream"], return_inverse=True)
    threads = thread_columns([streams[number] for number in used.tolist()])
    for kind in np.unique(records["kind"]).tolist():
        rows = np.flatnonzero(records["kind"] == kind)
        yield DEFINITIONS[kind], _events(DEFINITIONS[kind], records[rows], threads[places[rows]])


def thread_columns(streams: Sequence[Stream]) -> NDArray[np.void]:
    """The fields of `THREAD_LAYOUT` for each of ``streams``."""
    import numpy as np

    threads = np.empty(len(streams), THREAD_LAYOUT)
    for field in THREAD_FIELDS:
        threads[field] = [getattr(stream, field) for stream in streams]
    threads["comm"] = [stream.comm.encode(errors="replace")[: COMM_SIZE - 1] for stream in streams]
    return threads


def _events(definition: Definition, records: TracerRecords, threads: NDArray[np.void]) -> NDArray[np.void]:
    import numpy as np

    arguments = len(definition.argument_names(0))
    events = np.zeros(len(records), _dtype(definition, arguments))
    events["timestamp"] = records["timestamp"]
    events["thread"] = records["stream"]
    for field in (*THREAD_FIELDS, "comm"):
        events[field] = threads[field]
    if definition.fields:
        events["arch"] = records["arch"]
        events[definition.fields[0]] = records["num"]
    if arguments:
        events["args"] = records["args"][:, :arguments]
    return events


def _dtype(definition: Definition, arguments: int) -> np.dtype[Any]:
    """The type of an event, as the metadata describes it (`htrun.ctf.metadata`)."""
    import numpy as np

    fields: list[Any] = [("timestamp", "<u8"), ("thread", "<u4"), *THREAD_LAYOUT]
    if definition.fields:
        fields += [("arch", "<u4"), (definition.fields[0], "<u8")]
    if arguments:
        fields.append(("args", "<u8", (arguments,)))
    return np.dtype(fields, align=True)
