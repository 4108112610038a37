"""Decodes the kernel's records of one thread, whole batches at once. (perf_event_open(2), "MMAP layout".)

A record is a sequence of 64-bit words. The first word is struct perf_event_header: u32 type, u16 misc, u16 size. The
event's ``sample_type`` determines the words of each type:

- SAMPLE, a page fault: the header, the time, the address, the processor
- SWITCH, the thread has left its processor or has got one: the header, the time, the processor
- LOST, records did not fit into the ring: the header, the event's id, the number of lost records, the time, the
  processor

The upper half of the word with the processor is unused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.definitions import (
    DEFINITIONS,
    MIGRATION,
    PAGE_FAULT,
    SCHED_LOST,
    SCHED_SWITCH_IN,
    SCHED_SWITCH_OUT,
)
from htrun.events.tracer_events import tracer_dtype

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.tracer_events import TracerRecords

_LOST, _SAMPLE, _SWITCH = 2, 9, 14
_MISC_OUT, _MISC_PREEMPTED = 1 << 13, 1 << 14
"""PERF_RECORD_MISC_SWITCH_OUT, PERF_RECORD_MISC_SWITCH_OUT_PREEMPT."""
_HALF = 0xFFFFFFFF
UNKNOWN = -1
"""Stands for the processor on which a thread was last seen, if it was never seen."""


def records_of(words: NDArray[np.uint64], processor: int) -> tuple[TracerRecords, int]:
    """The records in ``words``, in the order in which the kernel wrote them. There must be at least one. Their
    ``timestamp`` is CLOCK_MONOTONIC_RAW in ns; ``stream`` is 0.

    ``processor``: the processor on which the thread was before, or `UNKNOWN`. Also returns the last processor.
    """
    import numpy as np

    places = _starts(words)
    headers = words[places]
    types, misc = headers & np.uint64(_HALF), headers >> np.uint64(32) & np.uint64(0xFFFF)
    records = np.zeros(len(places), tracer_dtype())
    rows = np.flatnonzero(types == _SWITCH)
    out = misc[rows] & np.uint64(_MISC_OUT) != 0
    records["timestamp"][rows] = words[places[rows] + 1]
    records["kind"][rows] = np.where(out, DEFINITIONS.index(SCHED_SWITCH_OUT), DEFINITIONS.index(SCHED_SWITCH_IN))
    records["args"][rows, 0] = words[places[rows] + 2] & np.uint64(_HALF)
    records["args"][rows, 1] = misc[rows] & np.uint64(_MISC_PREEMPTED) != 0
    entered = rows[~out]
    rows = np.flatnonzero(types == _SAMPLE)
    records["timestamp"][rows] = words[places[rows] + 1]
    records["kind"][rows] = DEFINITIONS.index(PAGE_FAULT)
    records["args"][rows, 0] = words[places[rows] + 2]
    records["args"][rows, 1] = words[places[rows] + 3] & np.uint64(_HALF)
    rows = np.flatnonzero(types == _LOST)
    records["timestamp"][rows] = words[places[rows] + 3]
    records["kind"][rows] = DEFINITIONS.index(SCHED_LOST)
    records["args"][rows, 0] = words[places[rows] + 2]
    known = np.isin(types, (_SWITCH, _SAMPLE, _LOST))
    return _with_migrations(records, entered, processor, known)


def _starts(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The indexes of the headers in ``words``.

    Each header gives the size of its record, so the headers form a chain. All words are followed at once as if each
    were a header: each step doubles the number of known headers.
    """
    import numpy as np

    count = len(words)
    sizes = np.maximum(words >> np.uint64(48 + 3), np.uint64(1)).astype(np.int64)
    after = np.append(np.minimum(np.arange(count) + sizes, count), count)
    reached = np.zeros(count + 1, np.bool_)
    reached[0] = True
    found, before = 1, 0
    while found > before:
        before = found
        reached[after[np.flatnonzero(reached)]] = True
        after = after[after]
        found = int(reached.sum())
    return np.flatnonzero(reached[:count])


def _with_migrations(
    records: TracerRecords, entered: NDArray[np.int64], processor: int, known: NDArray[np.bool_]
) -> tuple[TracerRecords, int]:
    """``records`` with a migration before each of the switches ``entered`` that changes the processor, and without the
    records that are not ``known``. Also returns the last processor."""
    import numpy as np

    switches = np.flatnonzero(
        np.isin(records["kind"], [DEFINITIONS.index(each) for each in (SCHED_SWITCH_OUT, SCHED_SWITCH_IN)])
    )
    if not len(switches):
        return records[known], processor
    on = records["args"][switches, 0].astype(np.int64)
    before = np.append(processor, on[:-1])
    moved = (before != on) & (before != UNKNOWN) & np.isin(switches, entered)
    migrations = records[switches[moved]].copy()
    migrations["kind"] = DEFINITIONS.index(MIGRATION)
    migrations["args"][:, 0], migrations["args"][:, 1] = before[moved], on[moved]
    places = np.append(np.flatnonzero(known), switches[moved] - 0.5)
    order = np.argsort(places, kind="stable")
    return np.concatenate([records[known], migrations])[order], int(on[-1])
