"""Batches of events as numpy arrays: raw, as in a ring, and decoded, as passed to sinks.

Importing numpy takes 0.1 s, so every function imports it when it is first called, when the program already runs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from htrun.events.definitions import DEFINITIONS, HYPERTRACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.clock import Clock
    from htrun.events.tracer_events import TracerRecords

    Events = NDArray[np.void]
    """A batch of decoded events, of `event_dtype`."""
    Records = NDArray[np.void]
    """A batch of raw records, of `record_dtype`."""


NUMBER_PAIRS = (("site", "index"), ("num", "arch"))
"""Pairs of columns of a decoded event that share a word, so that both are copied or cleared at once.

A kind of event has both columns of a pair or neither.
"""
NUMBERS = tuple(name for pair in NUMBER_PAIRS for name in pair)


RING_SITE = 0
"""The ``site`` of events that the guest library wrote to a ring itself. The numbers of instructions begin with 1."""


@functools.cache
def record_dtype(num_args: int, big_endian: bool) -> np.dtype[Any]:
    """A record in a ring: u64 ``timestamp`` (ticks), u32 ``site`` and ``index``, ``args`` in the guest's byte order."""
    import numpy as np

    args = ">u8" if big_endian else "<u8"
    return np.dtype([("timestamp", "<u8"), ("site", "<u4"), ("index", "<u4"), ("args", args, (num_args,))])


def event_dtype(num_args: int) -> np.dtype[Any]:
    """A decoded event.

    ``time``: ns since the epoch. ``stream``: the number of the thread it came from. ``kind``: the kind of event, an
    index of `DEFINITIONS`. ``site``: number of the instruction that emitted it, or `RING_SITE`. ``index``: the slot.
    ``num``: the low 32 bits of a system call's number, which is all that the kernel uses. ``arch``: its interface
    (`htrun.events.syscalls`). Columns that are not among an event's `Definition.columns` are 0. ``args``: ``num_args``
    arguments; if an event has fewer, the rest is zero. A batch with system calls has room for at least `SYSCALL_ARGS`.
    """
    import numpy as np

    numbers = [(name, "<u4") for name in NUMBERS]
    fields = [("time", "<u8"), ("stream", "<u4"), ("kind", "<u2"), *numbers, ("args", "<u8", (num_args,))]
    return np.dtype(fields, align=True)


def words_of(rows: NDArray[np.void], field: str, first: int, count: int) -> NDArray[np.void]:
    """``count`` words of each row's ``field``, from word ``first`` on, as one value. numpy copies such values in one
    block, but would copy several numbers one by one. ``count`` must not be 0."""
    import numpy as np

    offset = _offset(rows.dtype, field) + 8 * first
    layout = {"names": ["words"], "formats": [f"V{8 * count}"], "offsets": [offset], "itemsize": rows.dtype.itemsize}
    return rows.view(np.dtype(layout))["words"]  # type: ignore[call-overload]


def _offset(dtype: np.dtype[Any], field: str) -> int:
    """The offset of ``field`` in a row of ``dtype`` in bytes."""
    assert dtype.fields is not None
    return dtype.fields[field][1]


def joined(batches: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """The ``batches``, at least one and all of the same type, joined to one array.

    They are copied in blocks, since numpy would copy field by field.
    """
    import numpy as np

    if len(batches) == 1:
        return batches[0]
    return np.concatenate([batch.view("u1") for batch in batches]).view(batches[0].dtype)


def is_pair(rows: NDArray[np.void], first: str, second: str) -> bool:
    """Whether ``rows`` have the columns ``first`` and ``second``, of 32 bits each and next to each other."""
    fields: Mapping[str, Any] = rows.dtype.fields or {}
    if first not in fields or second not in fields:
        return False
    (one, at, *_), (other, after, *_) = fields[first], fields[second]
    return bool(one.str == other.str == "<u4" and after == at + 4)


def pair_of(rows: NDArray[np.void], first: str) -> NDArray[np.uint64]:
    """The pair of columns that begins with ``first`` (`is_pair`), as one word."""
    return words_of(rows, first, 0, 1).view("<u8")


def without_arguments(events: Events) -> NDArray[np.void]:
    """The part of each event before its arguments, as one value."""
    return words_of(events, "time", 0, _offset(events.dtype, "args") // 8)


def decode(records: Records, stream: int, clock: Clock, room: int = 0) -> Events:
    """The ``guest_hypertrace`` events of ``records``, which all come from the stream with the number ``stream``.

    ``room``: the minimum number of arguments of the result, so that it can be merged with other batches.
    """
    import numpy as np

    num_args = records.dtype["args"].shape[0]
    events = (np.zeros if room > num_args else np.empty)(len(records), event_dtype(max(num_args, room)))
    events["time"] = clock.to_realtime_ns(records["timestamp"])
    events["stream"] = stream
    pair_of(events, "site")[:] = pair_of(records, "site")
    pair_of(events, "num")[:] = 0
    events["kind"] = DEFINITIONS.index(HYPERTRACE)
    events["args"][:, :num_args] = records["args"]
    return events


def decode_tracer_records(records: TracerRecords, clock: Clock, room: int) -> Events:
    """The events of ``records``. ``room``: number of arguments of the result, at least `SYSCALL_ARGS`."""
    import numpy as np

    events = np.zeros(len(records), event_dtype(room))
    events["time"] = clock.to_realtime_ns(records["timestamp"])
    events["stream"] = records["stream"]
    events["num"] = records["num"]
    events["arch"] = records["arch"]
    events["kind"] = records["kind"]
    events["args"][:, : records["args"].shape[1]] = records["args"]
    return events


def merge(batches: Sequence[Events]) -> Events:
    """The ``batches`` merged to one, in time order; events with equal times keep their order.

    ``batches`` must not be empty.
    """
    import numpy as np

    if len(batches) == 1:
        return batches[0]
    events = np.concatenate(batches)
    return events[np.argsort(events["time"], kind="stable")]
