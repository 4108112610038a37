"""Batches of events as numpy arrays: raw, as a ring holds them, and decoded, as sinks take them.

numpy takes 0.1 s to import, so every function imports it when it is first called: while the program runs already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from htrun.events.definitions import DEFINITIONS, HYPERTRACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.clock import Clock
    from htrun.events.tracer_events import TracerRecords

    Events = NDArray[np.void]
    """A batch of decoded events, of `event_dtype`."""
    Records = NDArray[np.void]
    """A batch of raw records, of `record_dtype`."""


def record_dtype(num_args: int, big_endian: bool) -> np.dtype[Any]:
    """A record in a ring: u64 ``timestamp`` (ticks), u32 ``site`` and ``index``, ``args`` in the guest's byte order."""
    import numpy as np

    args = ">u8" if big_endian else "<u8"
    return np.dtype([("timestamp", "<u8"), ("site", "<u4"), ("index", "<u4"), ("args", args, (num_args,))])


def event_dtype(num_args: int) -> np.dtype[Any]:
    """A decoded event.

    ``time``: ns since the epoch. ``stream``: the number of the thread it came from. ``site``: of the instruction that
    emitted it, or a system call's interface (`htrun.events.syscalls`). ``index``: the slot, or a system call's number.
    ``kind``: which event it is, a place in `DEFINITIONS`. ``args``: ``num_args`` of them; an event with fewer has zeros
    behind its own, and a batch with system calls has room for at least `SYSCALL_ARGS`.
    """
    import numpy as np

    fields = [("time", "<u8"), ("stream", "<u4"), ("site", "<u4"), ("index", "<u8"), ("kind", "<u2")]
    return np.dtype([*fields, ("args", "<u8", (num_args,))], align=True)


def words_of(rows: NDArray[np.void], field: str, first: int, count: int) -> NDArray[np.void]:
    """``count`` words of each row's ``field``, from ``first`` on, as one value: numpy copies them at once, where it
    would copy a row of a few numbers one by one. ``count`` must not be 0."""
    import numpy as np

    offset = rows.dtype.fields[field][1] + 8 * first  # type: ignore[index]
    layout = {"names": ["words"], "formats": [f"V{8 * count}"], "offsets": [offset], "itemsize": rows.dtype.itemsize}
    return rows.view(np.dtype(layout))["words"]  # type: ignore[call-overload]


def decode(records: Records, stream: int, clock: Clock, room: int = 0) -> Events:
    """The ``guest_hypertrace`` events of ``records``, which all come from the stream with the number ``stream``.

    ``room``: for how many arguments there is room at least, as in other batches that are to be one with these.
    """
    import numpy as np

    num_args = records.dtype["args"].shape[0]
    events = (np.zeros if room > num_args else np.empty)(len(records), event_dtype(max(num_args, room)))
    events["time"] = clock.to_realtime_ns(records["timestamp"])
    events["stream"] = stream
    events["site"] = records["site"]
    events["index"] = records["index"]
    events["kind"] = DEFINITIONS.index(HYPERTRACE)
    events["args"][:, :num_args] = records["args"]
    return events


def decode_tracer_records(records: TracerRecords, clock: Clock, room: int) -> Events:
    """The events of ``records``, with ``room`` for arguments: at least `SYSCALL_ARGS`.

    A system call's interface, which says whose numbers its is, is the event's ``site``.
    """
    import numpy as np

    events = np.zeros(len(records), event_dtype(room))
    events["time"] = clock.to_realtime_ns(records["timestamp"])
    events["stream"] = records["stream"]
    events["site"] = records["arch"]
    events["index"] = records["num"]
    events["kind"] = records["kind"]
    events["args"][:, : records["args"].shape[1]] = records["args"]
    return events


def merge(batches: Sequence[Events]) -> Events:
    """One batch of several, in time order; events of one time keep their order. ``batches`` must not be empty."""
    import numpy as np

    if len(batches) == 1:
        return batches[0]
    events = np.concatenate(batches)
    return events[np.argsort(events["time"], kind="stable")]
