"""Batches of events as numpy arrays. Raw records are as in a ring; decoded events are passed to sinks.

Importing numpy takes 0.1 s, so each function imports numpy when it is called; the program is already running then.
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
"""Pairs of columns of a decoded event. The two columns of a pair share a word, so that they are copied or cleared
together.

Each kind of event has either both columns of a pair or neither of them.
"""
NUMBERS = tuple(name for pair in NUMBER_PAIRS for name in pair)


RING_SITE = 0
"""The ``site`` of events that the guest library itself wrote to a ring. The numbers of instructions begin with 1."""


@functools.cache
def record_dtype(num_args: int, big_endian: bool) -> np.dtype[Any]:
    """The type of a record in a ring: u64 ``timestamp`` (ticks), u32 ``site`` and ``index``, ``args`` in the guest's
    byte order."""
    import numpy as np

    args = ">u8" if big_endian else "<u8"
    return np.dtype([("timestamp", "<u8"), ("site", "<u4"), ("index", "<u4"), ("args", args, (num_args,))])


def event_dtype(num_args: int) -> np.dtype[Any]:
    """The type of a decoded event.

    ``time``: ns since the epoch. ``stream``: the number of the stream of the event's thread. ``kind``: the kind of the
    event, an index of `DEFINITIONS`. ``site``: the number of the instruction that emitted the event, or `RING_SITE`.
    ``index``: the index of the slot. ``num``: the low 32 bits of a system call's number; the kernel uses only these.
    ``arch``: the interface of the system call (`htrun.events.syscalls`). Columns that are not among an event's
    `Definition.columns` are 0. ``args``: ``num_args`` arguments; if an event has fewer arguments, the others are zero.
    A batch with system calls has room for at least `SYSCALL_ARGS` arguments.
    """
    import numpy as np

    numbers = [(name, "<u4") for name in NUMBERS]
    fields = [("time", "<u8"), ("stream", "<u4"), ("kind", "<u2"), *numbers, ("args", "<u8", (num_args,))]
    return np.dtype(fields, align=True)


def words_of(rows: NDArray[np.void], field: str, first: int, count: int) -> NDArray[np.void]:
    """``count`` words of each row's ``field``, from word ``first`` on, as one value. numpy copies such a value in one
    block; it would copy several numbers one by one. ``count`` must not be 0."""
    import numpy as np

    offset = _offset(rows.dtype, field) + 8 * first
    layout = {"names": ["words"], "formats": [f"V{8 * count}"], "offsets": [offset], "itemsize": rows.dtype.itemsize}
    return rows.view(np.dtype(layout))["words"]  # type: ignore[call-overload]


def _offset(dtype: np.dtype[Any], field: str) -> int:
    """The offset in bytes of ``field`` in a row of ``dtype``."""
    assert dtype.fields is not None
    return dtype.fields[field][1]


def joined(batches: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """The ``batches`` joined to one array. There must be at least one batch, and all must have the same type.

    The batches are copied in blocks, since numpy would copy field by field.
    """
    import numpy as np

    if len(batches) == 1:
        return batches[0]
    return np.concatenate([batch.view("u1") for batch in batches]).view(batches[0].dtype)


def taken(rows: NDArray[np.void], places: NDArray[np.integer[Any]]) -> NDArray[np.void]:
    """``rows[places]``, but faster: numpy copies structures field by field, and words as a block. The size of a row
    must be a multiple of 8 bytes."""
    words = rows.view("<u8").reshape(len(rows), rows.dtype.itemsize // 8)
    return words.take(places, axis=0).reshape(-1).view(rows.dtype)


def chosen(rows: NDArray[np.void], mask: NDArray[np.bool_]) -> NDArray[np.void]:
    """``rows[mask]``, but faster; ``rows`` itself if all are chosen. See `taken`."""
    return rows if mask.all() else taken(rows, mask.nonzero()[0])


def is_pair(rows: NDArray[np.void], first: str, second: str) -> bool:
    """Whether ``rows`` have the columns ``first`` and ``second``, each of 32 bits, and directly after each other."""
    fields: Mapping[str, Any] = rows.dtype.fields or {}
    if first not in fields or second not in fields:
        return False
    (one, at, *_), (other, after, *_) = fields[first], fields[second]
    return bool(one.str == other.str == "<u4" and after == at + 4)


def pair_of(rows: NDArray[np.void], first: str) -> NDArray[np.uint64]:
    """The column ``first`` and the column after it (`is_pair`), as one word."""
    return words_of(rows, first, 0, 1).view("<u8")


def without_arguments(events: Events) -> NDArray[np.void]:
    """The part of each event before its arguments, as one value."""
    return words_of(events, "time", 0, _offset(events.dtype, "args") // 8)


def decode(records: Records, stream: int, clock: Clock, room: int = 0) -> Events:
    """The ``guest_hypertrace`` events of ``records``. All records come from the stream with the number ``stream``.

    ``room``: the minimum number of arguments of the result, so that the result can be merged with other batches.
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
    """The events of ``records``. ``room``: the number of arguments of the result, at least `SYSCALL_ARGS`."""
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
    """The ``batches`` merged into one batch in time order. Events with equal times keep their order.

    ``batches`` must not be empty.
    """
    import numpy as np

    if len(batches) == 1:
        return batches[0]
    events = np.concatenate(batches)
    return events[np.argsort(events["time"], kind="stable")]
