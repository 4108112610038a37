"""Batches of events as numpy arrays: raw, as a ring holds them, and decoded, as sinks take them.

numpy takes 0.1 s to import, so every function imports it when it is first called: while the program runs already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.clock import Clock

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
    """A decoded event: ``time`` (ns since the epoch), number of its ``stream``, ``site``, ``index``, ``args``."""
    import numpy as np

    return np.dtype(
        [("time", "<u8"), ("stream", "<u4"), ("site", "<u4"), ("index", "<u8"), ("args", "<u8", (num_args,))]
    )


def decode(records: Records, stream: int, clock: Clock) -> Events:
    """The events of ``records``, which all come from the stream with the number ``stream``."""
    import numpy as np

    num_args = records.dtype["args"].shape[0]
    events = np.empty(len(records), event_dtype(num_args))
    events["time"] = clock.to_realtime_ns(records["timestamp"])
    events["stream"] = stream
    events["site"] = records["site"]
    events["index"] = records["index"]
    events["args"] = records["args"]
    return events


def merge(batches: Sequence[Events]) -> Events:
    """One batch of several, in time order; events of one time keep their order. ``batches`` must not be empty."""
    import numpy as np

    if len(batches) == 1:
        return batches[0]
    events = np.concatenate(batches)
    return events[np.argsort(events["time"], kind="stable")]
